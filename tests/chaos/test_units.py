"""docs/deploy.md on three hosts: its commands are typed, and what the units of `deploy/` start is started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.chaos.grid import cables
from tests.chaos.infrastructure import Postgres
from tests.chaos.network import Machine, Network
from tests.chaos.parts import Part, wait
from tests.chaos.units import DEPLOY, Unit
from tests.e2e.grid import WASMGRID
from tests.e2e.programs import prints

READY_S = 90.0
SERVED_FROM = Path(sys.executable).parent


@dataclass
class Host:
    """One host: its address, its files under `root`, and the units that run there."""

    machine: Machine
    root: Path
    parts: list[Part] = field(default_factory=list)

    @property
    def etc(self) -> Path:
        """Its /etc/wasmgrid."""
        return self.root / "etc/wasmgrid"

    def unit(self, name: str, instance: str = "") -> Unit:
        """A unit of `deploy/` as this host runs it."""
        return Unit(name, instance, self._placed)

    def start(self, name: str, instance: str = "") -> Part:
        """`systemctl start`: exactly its ExecStart."""
        unit = self.unit(name, instance)
        for directory in unit.values("StateDirectory"):
            (self.root / "var/lib" / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.root / f"{name.removesuffix('.service')}{instance}.log"
        cwd = next((Path(path) for path in unit.values("WorkingDirectory")), None)
        # The toolchains of this machine are used: what is tested here is how processes find each other.
        environment = {key: value for key, value in unit.environment().items() if key != "XDG_CACHE_HOME"}
        part = Part(f"{name} on {self.machine.name}", self.machine, unit.command(), log, environment, cwd)
        part.start()
        self.parts.append(part)
        return part

    def _placed(self, text: str) -> str:
        text = text.replace("/opt/wasmgrid/bin", str(SERVED_FROM))
        return re.sub(r"(?<![\w/])/(etc|var/lib)/wasmgrid", rf"{self.root}/\1/wasmgrid", text)


class Site:
    """Three hosts, the directory of whoever sets them up, and what that person types."""

    def __init__(self, directory: Path, network: Network | None) -> None:
        self.directory = directory
        names = ["a", "b", "c"]
        if network is not None:
            machines = [network.machine(name) for name in names]
        else:
            machines = [Machine(name, f"127.0.0.{number}") for number, name in enumerate(names, 1)]
        self.hosts = [Host(machine, directory / machine.name) for machine in machines]
        self.nats = [host.machine.address for host in self.hosts]
        if network is None:  # one machine for all: each its ports
            self.nats = [f"{address}:{24222 + number}:{26222 + number}" for number, address in enumerate(self.nats)]
        for host in self.hosts:
            host.etc.mkdir(parents=True)

    def type(self, *words: str, server: Host | None = None) -> str:
        """A command of the person who sets it up, on the first host; what it printed."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith("WASMGRID_")}
        token = self.directory / "grid/ca/token"
        servers = [server] if server is not None else self.hosts[:2]
        grid = {
            "WASMGRID_HOME": str(self.directory / "home"),
            "WASMGRID_SERVER": ",".join(f"https://{host.machine.address}:3030" for host in servers),
            "WASMGRID_TOKEN": token.read_text().strip() if token.exists() else "",
            "WASMGRID_CA": str(self.directory / "grid/ca/ca.pem"),
        }
        with self.hosts[0].machine.inside():
            done = subprocess.run(
                [WASMGRID, *words],
                env={**ours, **grid},
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=READY_S,
                check=False,
            )
        assert done.returncode == 0, f"{words}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def carry(self, what: str, host: Host, where: str) -> None:
        """scp: a file or a directory of the set-up to a host, below /etc/wasmgrid or at a path of its own."""
        source, target = self.directory / what, host.root / where
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)

    def logs(self) -> str:
        """What every unit wrote."""
        return "\n".join(f"-- {part.name}\n{part.said(2000)}" for host in self.hosts for part in host.parts)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        network = Network() if cables() else None
        if network is not None:
            stack.callback(network.close)
        made = Site(tmp_path, network)
        try:
            yield made
        finally:
            for host in made.hosts:
                for part in host.parts:
                    part.kill()


def test_three_hosts_as_the_page_sets_them_up(site: Site) -> None:
    a, b, c = site.hosts
    addresses = ",".join(host.machine.address for host in (a, b))
    site.type("cluster", "init", "grid", "--nats", ",".join(site.nats), "--servers", addresses)
    for number, host in enumerate(site.hosts, 1):
        site.carry(f"grid/nats{number}", host, "etc/wasmgrid/nats")
        host.start("wasmgrid-nats.service")
    store = Postgres(c.machine, site.directory)
    c.parts.append(store.part)
    store.start()
    for number, host in enumerate((a, b), 1):
        site.carry(f"grid/server{number}", host, "var/lib/wasmgrid/server")
        (host.etc / "server.env").write_text(_filled((DEPLOY / "server.env").read_text(), store.url, host))
        host.start("wasmgrid-server.service")
    wait(lambda: "ready at" in a.parts[-1].said() + b.parts[-1].said(), f"a server\n{site.logs()}", READY_S)
    for name in ("rack1", "builder1"):
        site.type("credential", "worker", name, "-o", f"{name}.json")
        site.carry(f"{name}.json", c, f"etc/wasmgrid/{name}.json")
    site.type("cluster", "authorize", "grid")
    for number, host in enumerate(site.hosts, 1):
        site.carry(f"grid/nats{number}/authorization.conf", host, "etc/wasmgrid/nats/authorization.conf")
        [nats] = [part for part in host.parts if "nats" in part.name]
        reload = host.unit("wasmgrid-nats.service").command("ExecReload", MAINPID=str(nats.pid))
        subprocess.run(reload, check=True, capture_output=True)
    c.start("wasmgrid-worker@.service", "rack1")
    c.start("wasmgrid-builder@.service", "builder1")
    (site.directory / "hello.wat").write_text(prints("hello from three hosts\n"))
    assert site.type("run", "hello.wat") == "hello from three hosts\n"
    a.parts[-1].kill()
    assert site.type("run", "hello.wat", server=b) == "hello from three hosts\n"
    shown = site.type("workers")
    assert "rack1" in shown
    assert "builder1" in shown


def test_what_units_start_is_stopped_in_order_first(tmp_path: Path) -> None:
    """Guests are grandchildren: told by systemd to end, they would end before what holds them could finish."""
    for path in DEPLOY.glob("*.service"):
        unit = Unit(path.name, "x", str)
        if "wasmgrid " in " ".join(unit.values("ExecStart")):
            assert unit.values("KillMode") == ["mixed"], path.name
            drains_s = re.search(r"--drain-timeout (\d+)s", " ".join(unit.values("ExecStart")))
            [stop_s] = unit.values("TimeoutStopSec")
            assert int(stop_s) >= int(drains_s[1] if drains_s else 0) + 10


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.service")), ids=lambda path: path.stem)
def test_systemd_understands_every_unit(tmp_path: Path, path: Path) -> None:
    unit = tmp_path / path.name.replace("@.", "@x.")
    text = path.read_text(encoding="utf-8").replace("/opt/wasmgrid/bin", str(SERVED_FROM))
    unit.write_text(text.replace("User=wasmgrid", "User=root"), encoding="utf-8")
    argv = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


def _filled(text: str, store: str, host: Host) -> str:
    given = {"STORE": store, "LISTEN": host.machine.address, "ADVERTISE": host.machine.address}
    for key, value in given.items():
        text = re.sub(rf"^WASMGRID_{key}=.*$", f"WASMGRID_{key}={value}", text, flags=re.MULTILINE)
    return text
