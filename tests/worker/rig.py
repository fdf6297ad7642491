"""A real worker process on a real nats-server, and a leader that says just what a test wants it to say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import wasmtime

from wasmgrid.core import wire
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import TaskResult
from wasmgrid.core.limits import MB, Limits
from wasmgrid.core.resources import Resources
from wasmgrid.fabric import credentials, subjects
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.blobserver import BlobServer
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.credentials import Credential
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.home import FabricEndpoint, Home
from wasmgrid.worker import starts

DEADLINE_S = 60.0
NEED = Resources(milli_cpus=100, memory_mb=16, disk_mb=16, slots=1)
SPIN = '(module (func (export "_start") (loop $again (br $again))))'
HELLO = '(module (func (export "_start")))'

M = TypeVar("M", bound=msgspec.Struct)


@contextmanager
def worker(home: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m wasmgrid.worker` in this home, ended whatever happens; what it said is in home/../stderr."""
    with (home.parent / "stderr").open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "wasmgrid.worker", "--home", str(home), *flags],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that is about to end."""
    return await asyncio.to_thread(process.wait, DEADLINE_S)


class Blobs:
    """The store's blobs, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def size(self, sha256: str) -> int | None:
        return len(self.kept[sha256]) if sha256 in self.kept else None

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        return self.kept[sha256][offset : offset + length]

    async def put(self, data: bytes | AsyncIterator[bytes], *, expected: str | None, max_bytes: int) -> tuple[str, int]:
        whole = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        self.kept[sha256_hex(whole)] = whole
        return sha256_hex(whole), len(whole)


class ScriptedLeader:
    """Says what it is told to say, and keeps what workers say; blobs come from it too."""

    def __init__(self, fabric: Fabric, worker_id: str, *, server_id: str = "s1", lease_s: float = 30.0) -> None:
        self.fabric = fabric
        self.worker_id = worker_id
        self.term = 1
        self.server_id = server_id
        self.lease_s = lease_s
        self.blobs = Blobs()
        self.heard: list[Any] = []
        self.acknowledges = True
        self.incarnation = ""
        self._seq = 0
        self._server = BlobServer(fabric, self.blobs, server_id, max_upload_bytes=64 * MB)

    async def start(self) -> None:
        """Listen to workers; one that does not know us is greeted when it speaks."""
        await self._server.start()
        await self.fabric.serve(subjects.leaders(), self._hear)
        await self.hello()

    async def stop(self) -> None:
        """Serve no more."""
        await self._server.stop()

    async def hello(self) -> None:
        """Say who leads."""
        said = wire.Hello(term=self.term, leader_id=self.server_id, lease_s=self.lease_s, heartbeat_s=0.2)
        await self.fabric.publish(subjects.hello(), said)

    async def say(self, message: wire.Message) -> None:
        """To the worker."""
        await self.fabric.publish(subjects.worker(self.worker_id), message)

    async def assign(self, attempt: int, wat: str, **given: Any) -> None:
        """Run this program; `given` are fields of the work, or of its limits."""
        wasm = bytes(wasmtime.wat2wasm(wat))
        self.blobs.kept[sha256_hex(wasm)] = wasm
        limits: dict[str, Any] = {"memory_mb": 16, "wall_s": 60.0, "disk_mb": 16}
        limits |= {name: given.pop(name) for name in Limits.__struct_fields__ if name in given}
        work = wire.RunWork(
            **{
                "job_id": attempt,
                "tenant": "t",
                "module_sha256": sha256_hex(wasm),
                "need": NEED,
                "limits": Limits(**limits),
                **given,
            }
        )
        self._seq += 1
        await self.say(
            wire.Assign(term=self.term, seq=self._seq, attempt=attempt, incarnation=self.incarnation, work=work)
        )

    async def cancel(self, attempt: int, reason: str = "") -> None:
        """Stop this attempt."""
        await self.say(wire.Cancel(term=self.term, attempt=attempt, reason=reason))

    async def until(self, kind: type[M], condition: Callable[[M], object] = lambda _: True) -> M:
        """The first message of this kind that fits, said or yet to be said."""

        async def said() -> M | None:
            return next((one for one in self.heard if isinstance(one, kind) and condition(one)), None)

        return await until(said)

    async def joined(self) -> wire.Inventory:
        """What the worker says of itself in our own term."""
        return await self.until(wire.Inventory, lambda said: said.term == self.term)

    async def result(self, attempt: int) -> TaskResult:
        """The result of an attempt."""

        def has(results: wire.Results) -> bool:
            return any(task.attempt == attempt for task in results.tasks)

        results = await self.until(wire.Results, has)
        return next(task for task in results.tasks if task.attempt == attempt)

    async def running(self, attempt: int) -> None:
        """Wait until the worker says that the attempt runs."""

        def runs(message: wire.Heartbeat) -> bool:
            return any(held.attempt == attempt and held.phase == "running" for held in message.held)

        await self.until(wire.Heartbeat, runs)

    async def stdout(self, attempt: int) -> bytes:
        """What a live attempt wrote to stdout, once it wrote anything."""

        async def written() -> bytes:
            asked = wire.TailRequest(attempt=attempt, wait_s=1.0)
            answer = await self.fabric.request(subjects.worker(self.worker_id), asked, timeout_s=DEADLINE_S)
            assert isinstance(answer, wire.TailChunk)
            return answer.stdout

        return await until(written)

    async def ends(self, attempt: int, indexes: Iterable[int]) -> dict[int, TaskResult]:
        """The results of these tasks of an attempt."""
        wanted = set(indexes)

        async def said() -> dict[int, TaskResult] | None:
            found = {task.index: task for task in self.told(attempt)}
            return found if wanted <= found.keys() else None

        return await until(said)

    def told(self, attempt: int) -> list[TaskResult]:
        """Every result of this attempt that was told so far, in order."""
        told = [one for one in self.heard if isinstance(one, wire.Results)]
        tasks = [
            task for one in told for task in (*one.tasks, *(each for part in one.ranges for each in part.results()))
        ]
        return [task for task in tasks if task.attempt == attempt]

    async def _hear(self, message: wire.Message, _reply: str) -> None:
        self.heard.append(message)
        if isinstance(message, wire.Inventory) and message.worker.id == self.worker_id:
            self.incarnation = message.worker.incarnation
        if isinstance(message, wire.Heartbeat) and message.term < self.term:
            await self.hello()
        if isinstance(message, wire.Results) and self.acknowledges:
            parts = [(task.attempt, task.index, 1) for task in message.tasks]
            parts += [(one.attempt, one.first, one.count) for one in message.ranges]
            await self.say(wire.ResultsAck(parts=parts, term=self.term))


T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T | None]]) -> T:
    """Wait for something, under a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := await condition()):  # noqa: ASYNC110 -- the conditions have no event
            await asyncio.sleep(0.01)
        return found


class Rig:
    """A home with a fabric. `connect` gives connections that end with it."""

    def __init__(self, home: Home, nats: EmbeddedNats) -> None:
        self.home = home
        self.nats = nats
        self.endpoint: FabricEndpoint | None = None
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start the fabric."""
        self.endpoint = await self.nats.start()

    async def connect(self) -> Fabric:
        """A connection to it."""
        assert self.endpoint is not None
        fabric = await Fabric.connect(self.endpoint, name="leader", wait_s=DEADLINE_S)
        self._stack.push_async_callback(fabric.close)
        return fabric

    async def admit(self, name: str) -> Path:
        """The file of a worker's credential that the fabric admits from now on."""
        assert self.endpoint is not None
        seed, key = credentials.make()
        await self.nats.reload([User(name=name, kind="worker", public_key=key)])
        path = self.home.path.parent / f"{name}.json"
        Credential(name=name, kind="worker", nats_url=self.endpoint.url, seed=seed).write(path)
        return path

    async def lead(self, worker_id: str = "w1", **options: Any) -> ScriptedLeader:
        """A leader for one worker."""
        leader = ScriptedLeader(await self.connect(), worker_id, **options)
        await leader.start()
        self._stack.push_async_callback(leader.stop)
        return leader

    def signal_nats(self, number: signal.Signals) -> None:
        """Stop (SIGSTOP) or resume (SIGCONT) the fabric."""
        assert self.nats.pid is not None
        os.kill(self.nats.pid, number)

    def starts(self, worker_id: str = "w1") -> list[starts.Entry]:
        """What the worker has written down."""
        return list(starts.read(self.home.worker(worker_id)))

    def said(self) -> str:
        """What workers wrote to stderr."""
        with contextlib.suppress(FileNotFoundError):
            return (self.home.path.parent / "stderr").read_text()
        return ""

    async def until_said(self, text: str) -> None:
        """Wait until a worker writes this to stderr."""

        async def is_said() -> bool:
            return text in self.said()

        await until(is_said)

    async def close(self) -> None:
        """End everything."""
        await self._stack.aclose()
        await self.nats.stop()


@asynccontextmanager
async def rig(directory: Path, *, start: bool = True) -> AsyncIterator[Rig]:
    """A rig in `directory`; with `start` its fabric runs."""
    home = Home(directory / "home").create()
    made = Rig(home, EmbeddedNats(home))
    try:
        if start:
            await made.start()
        yield made
    except BaseException:
        with contextlib.suppress(OSError):
            print(made.said())
        raise
    finally:
        await made.close()


def in_rig(directory: Path, test: Callable[[Rig], Awaitable[None]], *, start: bool = True) -> None:
    """Run `test` with a rig."""

    async def run() -> None:
        async with rig(directory, start=start) as made:
            await test(made)

    asyncio.run(run())
