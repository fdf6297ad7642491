"""A grid of several servers on machines of their own, of real processes each of which can be hurt."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from tests.chaos.infrastructure import Nats, Postgres
from tests.chaos.network import Cut, Machine, Network, why_not
from tests.chaos.parts import GONE_S, Part, wait
from tests.e2e.grid import WASMGRID

from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import Home
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client

READY_S = 90.0
LEASE_S = 5.0
TOKEN = "a-token-that-all-servers-share-" + "0" * 16


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many of each. `cables`: machines of their own, so that they can be cut off; else all is on loopback."""

    servers: int = 2
    nats: int = 3
    workers: int = 4
    builders: int = 1
    cables: bool = False


class ChaosGrid:
    """Parts by name: server1, worker1, builder1, nats1, postgres, ...; a `wasmgrid` process has a home of its own."""

    def __init__(self, directory: Path, layout: Layout) -> None:
        self.directory = directory
        self.network = Network() if layout.cables else None
        self.parts: dict[str, Part] = {}
        self.store = Postgres(self._machine("postgres"), directory)
        self.servers = [f"server{number}" for number in _numbers(layout.servers)]
        self.workers = [f"worker{number}" for number in _numbers(layout.workers)]
        self.builders = [f"builder{number}" for number in _numbers(layout.builders)]
        machines = [self._machine(f"nats{number}") for number in _numbers(layout.nats)]
        self.fabric = Nats(machines, directory, servers=self.servers, workers=self.workers + self.builders)
        for part in (self.store.part, *self.fabric.parts):
            self.parts[part.name] = part
        for name in self.servers:
            self._server(name)
        for name in (*self.workers, *self.builders):
            self._worker(name)

    @property
    def nats(self) -> list[str]:
        """The names of the NATS servers."""
        return [part.name for part in self.fabric.parts]

    def start(self) -> None:
        """Start all of it; returns when every server answers and every worker is there."""
        self.store.start()
        self.fabric.start()
        for name in (*self.servers, *self.workers, *self.builders):
            self.parts[name].start()
        for name in self.servers:
            self.wait_ready(name)
        wait(lambda: self.joined() >= {*self.workers, *self.builders}, f"workers\n{self.logs()}", READY_S)

    def start_again(self, name: str) -> None:
        """Start a part that ended; it is ready some time later."""
        if name == "postgres":
            self.store.start()
        else:
            self.parts[name].start()

    def restart(self, name: str) -> None:
        """`start_again`, and wait until it does its work."""
        self.start_again(name)
        if name in self.nats:
            self.fabric.wait_ready(self.parts[name])
        elif name in self.servers:
            self.wait_ready(name)

    def settle(self) -> None:
        """Wait until every part is well again; fails where one has ended by itself."""
        ended = [name for name, part in self.parts.items() if not part.alive]
        assert not ended, f"ended by themselves: {ended}\n{self.logs()}"
        for name in self.servers:
            self.wait_ready(name)

    def wait_ready(self, server: str) -> float:
        """Seconds until that server answers that it is ready."""
        return wait(lambda: self.ready(server), f"{server} ready\n{self.parts[server].said()}", READY_S)

    def ready(self, server: str) -> bool:
        """Whether that server answers that it is ready for work."""
        try:
            with self.client(server, timeout_s=5.0) as client:
                client.send(calls.ready())
        except WasmgridError:
            return False
        return True

    def joined(self) -> set[str]:
        """The workers that some server sees as joined."""
        for server in self.servers:
            with contextlib.suppress(WasmgridError), self.client(server, timeout_s=5.0) as client:
                return {one.id for one in client.send(calls.workers()).workers if one.state == "joined"}
        return set()

    def leader(self) -> str:
        """The server that leads by the store's word, or "" where none does or it has not begun to."""
        with self.database() as database:
            row = database.execute("SELECT term FROM leadership WHERE NOT released").fetchone()
        told = re.compile(rf"\bleading\b.* term={row[0] if row else 0}(?!\d)")  # as a new leader logs it
        return next((name for name in self.servers if told.search(self._log_of(name))), "")

    @contextlib.contextmanager
    def client(self, server: str, *, timeout_s: float = 30.0) -> Iterator[Client]:
        """A client on that server's machine. Raises `Unreachable` where the server has not said where it listens."""
        endpoint = Home(self.home(server)).endpoint()
        url = "http://127.0.0.1:1" if endpoint is None else endpoint.url
        with self.parts[server].machine.inside(), Client(url, TOKEN, timeout_s=timeout_s) as client:
            yield client

    @contextlib.contextmanager
    def database(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection to the store's database, past every server."""
        with self.parts["postgres"].machine.inside(), psycopg.connect(self.store.url, autocommit=True) as made:
            yield made

    def home(self, name: str) -> Path:
        """The home of that server or worker."""
        return self.directory / name

    def cut(self, name: str, way: Cut) -> None:
        """Cut that part off from all others. Only where there are cables."""
        assert self.network is not None, "no cables here"
        self.network.cut(self.parts[name].machine, way)

    def heal(self, name: str) -> None:
        """Undo `cut`."""
        assert self.network is not None, "no cables here"
        self.network.heal(self.parts[name].machine)

    def end(self) -> None:
        """End all of it, whatever state it is in."""
        running = [part for part in self.parts.values() if part.alive]
        families = [one for part in running for one in part.family()]
        for part in running:
            part.shoot()
        for part in running:
            part.reap()
        _, alive = psutil.wait_procs(families, timeout=GONE_S)
        assert not alive, f"left behind: {alive}"
        if self.network is not None:
            self.network.close()

    def logs(self) -> str:
        """The end of what every process said."""
        return "\n".join(f"-- {name}\n{part.said(2000)}" for name, part in self.parts.items())

    def _log_of(self, server: str) -> str:
        logs = sorted((self.home(server) / "logs").glob("server.log*"))
        return "\n".join(log.read_text(errors="replace") for log in logs)

    def _machine(self, name: str) -> Machine:
        return Machine(name) if self.network is None else self.network.machine(name)

    def _server(self, name: str) -> None:
        Home(self.home(name)).create()
        place = ["--store", self.store.url, "--nats", self.fabric.url]
        credential = ["--nats-credential", str(self.fabric.credential(name))]
        self._add(
            name, ["server", "--port", "0", *place, *credential, "--lease", f"{LEASE_S:g}s"], WASMGRID_TOKEN=TOKEN
        )

    def _worker(self, name: str) -> None:
        Home(self.home(name)).create()
        kind = ["builder", "--memory-mb", "8192"] if name in self.builders else ["worker", "--memory-mb", "1024"]
        credential = ["--credential", str(self.fabric.credential(name))]
        self._add(name, [*kind, "--cpus", "2", "--disk-mb", "256", "--drain-timeout", "3s", *credential])

    def _add(self, name: str, words: list[str], **secrets: str) -> None:
        environment = {"WASMGRID_HOME": str(self.home(name)), **secrets}
        log = self.directory / f"{name}.log"
        self.parts[name] = Part(name, self._machine(name), [WASMGRID, *words], log, environment)


@contextlib.contextmanager
def running(directory: Path, layout: Layout) -> Iterator[ChaosGrid]:
    """A grid in `directory` until the end of the block; nothing of it is left then. Logs are printed where it fails."""
    directory.mkdir(parents=True, exist_ok=True)
    grid = ChaosGrid(directory, layout)
    try:
        grid.start()
        yield grid
    except BaseException:
        print(grid.logs())
        raise
    finally:
        grid.end()


def cables() -> bool:
    """Whether cuts can be made here; says loudly why not."""
    reason = why_not()
    if reason is not None:
        print(f"\n*** NO NETWORK CUTS: {reason}; everything else runs ***\n", flush=True)
    return reason is None


def _numbers(count: int) -> range:
    return range(1, count + 1)
