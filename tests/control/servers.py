"""A grid of several servers in processes of their own, on one PostgreSQL and one NATS, with a real worker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from tests.nats import NatsCluster, nats_cluster
from tests.postgres import PostgresServer

from wasmgrid.home import Home

DEADLINE_S = 90.0
TOKEN = "the-one-token-of-these-servers"

# The file `die` in its home names a moment: the server kills itself (-9) when it comes to it as leader.
MAIN = """
import os, sys
from pathlib import Path
from wasmgrid.control.performer import Performer
from wasmgrid.core import wire
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import Home
from wasmgrid.protocol import events
from wasmgrid.server.process import ServeOptions, run

options = eval(sys.argv[2])
options["nats_credential"] = Path(options["nats_credential"])
die = Path(sys.argv[1]) / "die"
commit, send, open_build = Performer._commit, Performer._send, Performer._open_build

def now(moment):
    if die.exists() and moment == die.read_text():
        die.unlink()
        os.kill(os.getpid(), 9)

async def dying_commit(self, body):
    ends = isinstance(body, events.Record) and bool(body.results)
    ends and now("before a result is committed")
    await commit(self, body)
    ends and now("after a result is committed")
    isinstance(body, events.AssignModule) and now("after a module is assigned")

async def dying_send(self, command):
    await send(self, command)
    isinstance(command.message, wire.Assign) and now("after an assignment")

async def dying_open_build(self, command):
    now("before a build")
    await open_build(self, command)

Performer._commit, Performer._send, Performer._open_build = dying_commit, dying_send, dying_open_build
try:
    sys.exit(run(ServeOptions(home=Home(Path(sys.argv[1])), port=0, with_worker=False, **options)))
except WasmgridError as error:
    print(error, file=sys.stderr)
    sys.exit(125)
"""


class Server:
    """One server, which may be killed, stopped, resumed and started again."""

    def __init__(self, path: Path, options: dict[str, object]) -> None:
        self.home = Home(path)
        self.stderr = path.with_suffix(".stderr")
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Server:
        """Start it, and wait until it says where it is."""
        with self.stderr.open("ab") as output:
            process = self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, str(self.home.path), repr(self._options)],
                stdin=subprocess.DEVNULL,
                stderr=output,
                env={**os.environ, "WASMGRID_TOKEN": TOKEN},
            )

        def is_there() -> bool:
            assert process.poll() is None, self.said()
            found = self.home.endpoint()
            return found is not None and found.pid == process.pid

        until(is_there, self.said)
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.runs:
            self.signal(signal.SIGKILL)
            self.wait()

    def die_when(self, moment: str) -> None:
        """Have it killed when it comes to that moment of a job."""
        (self.home.path / "die").write_text(moment)

    def client(self) -> httpx.Client:
        """A client of this server, and of no other."""
        endpoint = self.home.endpoint()
        assert endpoint is not None, self.said()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=endpoint.url, headers=headers, timeout=DEADLINE_S)

    def get(self, path: str, **params: Any) -> Any:
        """The answer to a question that must succeed."""
        with self.client() as client:
            answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, wait: float = 0, **spec: Any) -> Any:
        """A job that must be taken."""
        with self.client() as client:
            answer = client.post("/v1/jobs", json=spec, params={"wait": wait} if wait else {})
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def finished(self, job_id: int) -> Any:
        """The job, once it is finished."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with self.client() as client:
                answer = client.get(f"/v1/jobs/{job_id}", params={"wait": 20})
            if answer.status_code == 200 and answer.json()["finished"]:
                return answer.json()
            assert time.monotonic() < deadline, f"{answer.text}\n{self.said()}"

    def leads(self) -> bool:
        """Whether it says so itself."""
        return self.runs and bool(self.get("/v1/grid")["leads"])

    def said(self) -> str:
        """What it wrote, for a test that failed."""
        log = self.home.logs / "server.log"
        return "\n".join(path.read_text()[-4000:] for path in (self.stderr, log) if path.exists())


class Pool:
    """Two servers and what they stand on."""

    def __init__(self, path: Path, postgres: PostgresServer, url: str, nats: NatsCluster) -> None:
        self.path = path
        self.postgres = postgres
        self.url = url
        self.nats = nats
        self.servers = [
            Server(
                path / name,
                {"store_url": url, "nats_credential": str(nats.credential(name, "server")), "lease_s": 10.0},
            )
            for name in ("s1", "s2")
        ]

    def leader(self) -> Server:
        """The server that leads, once one does; the other follows then."""
        until(lambda: sum(server.leads() for server in self.servers) == 1, self.said)
        return next(server for server in self.servers if server.leads())

    def both(self) -> tuple[Server, Server]:
        """(leader, follower), both running."""
        for server in self.servers:
            if not server.runs:
                server.start()
        leader = self.leader()
        return leader, self.other(leader)

    def other(self, server: Server) -> Server:
        """The other one."""
        return next(each for each in self.servers if each is not server)

    def began(self, job_id: int) -> int:
        """How often the worker began to run the job, by its own history."""
        entries = [json.loads(line) for line in self._history()]
        return sum(e["type"] == "began" and e["kind"] == "run" and e["id"] == job_id for e in entries)

    def ended(self, job_id: int) -> bool:
        """Whether nothing of the job runs any more at the worker."""
        entries = [json.loads(line) for line in self._history()]
        attempts = {e["attempt"] for e in entries if e["type"] == "began" and e["kind"] == "run" and e["id"] == job_id}
        return bool(attempts) and attempts <= {e["attempt"] for e in entries if e["type"] == "ended"}

    def said(self) -> str:
        """What all wrote."""
        return "\n".join(server.said() for server in self.servers)

    def _history(self) -> list[str]:
        (log,) = (self.path / "w").glob("worker/*/starts.log")
        return log.read_text().splitlines()


@contextlib.contextmanager
def pool(path: Path) -> Iterator[Pool]:
    """Servers and a worker that has joined; nothing of it is left afterwards."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(path / "postgres"))
        nats = stack.enter_context(nats_cluster(path / "nats", names=("n1",)))
        made = Pool(path, postgres, postgres.create("grid"), nats)
        for server in made.servers:
            stack.callback(server.kill)
        stack.enter_context(_worker(path / "w", nats.credential("w", "worker")))
        for server in made.servers:
            server.start()
        made.leader()
        until(lambda: [each["id"] for each in made.servers[0].get("/v1/workers")["workers"]] == ["w"], made.said)
        yield made


@contextlib.contextmanager
def _worker(home: Path, credential: Path) -> Iterator[None]:
    home.mkdir()
    with (home / "stderr").open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "wasmgrid.worker", "--home", str(home), "--credential", str(credential)],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], said: Callable[[], str]) -> None:
    """Wait for a condition, under a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)
