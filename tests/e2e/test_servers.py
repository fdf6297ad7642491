"""Two servers of one grid, over one PostgreSQL and one NATS: whichever dies, who follows a job goes on at the other."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.e2e import programs
from tests.e2e.grid import WASMGRID, Grid
from tests.e2e.members import SOON_S, Member, member
from tests.nats import nats_cluster
from tests.postgres import PostgresServer

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client

LINES = 250  # 5 s of output


@dataclass
class Servers:
    """Both servers, and somebody who knows them and nothing else."""

    running: list[subprocess.Popen[bytes]]
    urls: list[str]
    token: str
    user: Grid

    def popen(self, *words: str, urls: list[str] | None = None) -> subprocess.Popen[bytes]:
        """A command of that user, who asks the servers in this order."""
        known = {"WASMGRID_SERVER": ",".join(urls or self.urls), "WASMGRID_TOKEN": self.token}
        return subprocess.Popen(
            [WASMGRID, *words],
            env=self.user.environment | known,
            cwd=self.user.directory,
            bufsize=0,  # what a test reads by the line is not kept from `communicate`
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def leader(self) -> int:
        """Which of them leads, once one does."""
        ends_at = time.monotonic() + SOON_S
        while True:
            for number, url in enumerate(self.urls):
                with contextlib.suppress(WasmgridError), Client(url, self.token) as client:
                    if client.send(calls.grid()).leads:
                        return number
            assert time.monotonic() < ends_at, "nobody leads"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """PostgreSQL, NATS, two servers in homes of their own, and a worker in a third."""
    directory = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(directory / "postgres"))
        nats = stack.enter_context(nats_cluster(directory / "nats", names=("n1",)))
        one, two, third = (stack.enter_context(member(directory / name)) for name in ("one", "two", "third"))
        given = {"WASMGRID_STORE": postgres.create("grid"), "WASMGRID_TOKEN": secrets.token_urlsafe(32)}
        running = [
            machine.start("server", "--port", "0", "--nats-credential", nats.credential(name, "server"), **given)
            for machine, name in ((one, "s1"), (two, "s2"))
        ]
        third.start("worker", "--credential", nats.credential("w", "worker"), "--cpus", "1")
        user = Grid(home=directory / "user", directory=directory / "work")
        user.directory.mkdir()
        user.file("count.wat", programs.counts(LINES))
        yield Servers(running, [_url(one), _url(two)], given["WASMGRID_TOKEN"], user)


def _url(machine: Member) -> str:
    ends_at = time.monotonic() + SOON_S
    path = machine.place.home / "endpoint.json"
    while not path.exists():
        assert time.monotonic() < ends_at, machine.said
        time.sleep(0.05)
    found: str = json.loads(path.read_text())["url"]
    return found


def test_doctor_says_who_leads(servers: Servers) -> None:
    leader = servers.leader()
    with servers.popen("doctor") as doctor:
        out, _ = doctor.communicate(timeout=SOON_S)
    lines = [line for line in out.decode().splitlines() if line.split()[1] == "server"]
    assert len(lines) == 2
    assert lines[leader].endswith(", it leads")
    assert lines[1 - leader].endswith(" leads")
    assert ", it leads" not in lines[1 - leader]


def test_servers_count_among_those_who_may_join(servers: Servers) -> None:
    """They came with credentials that no API made; what a NATS is told to include must not lock them out."""
    with Client(servers.urls[0], servers.token) as client:
        made = {each.name: each for each in client.send(calls.credentials()).credentials}
        assert {"s1", "s2"} <= set(made)
        block = client.send(calls.authorization())
    assert all(made[name].public_key in block for name in ("s1", "s2"))


def test_an_attached_run_survives_the_death_of_its_server_which_led(servers: Servers) -> None:
    """Output goes on by offset, wherever it was cut: nothing is printed twice, nothing is left out."""
    leader = servers.leader()
    with servers.popen("run", "count.wat", urls=[servers.urls[leader], servers.urls[1 - leader]]) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        servers.running[leader].kill()
        rest, err = run.communicate(timeout=2 * SOON_S)
    said = err.decode()
    assert run.returncode == 0, said
    assert first + rest == programs.counted(LINES)
    assert "; trying again" in said
    assert said.rstrip().endswith("worker w")
    with Client(servers.urls[1 - leader], servers.token) as client:
        assert len(client.attempts("last")) == 1  # and nothing was run twice
