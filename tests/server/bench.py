"""A grid without processes: the real API over the real store and leader; its worker is a function of the test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
from litestar import Litestar
from msgspec.structs import replace

from wasmgrid.control import Control
from wasmgrid.core import wire
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import Unreachable
from wasmgrid.core.job import Output, TaskResult
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.outcome import exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol.state import Settings
from wasmgrid.server.admission import Admission
from wasmgrid.server.app import create_app, end_streams
from wasmgrid.store import Store

TOKEN = "the-token-of-this-test"
HOST = "127.0.0.1"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
EMPTY_MODULE = b"\0asm\x01\0\0\0"
# (module (memory (export "memory") 1) (func (export "_start")))
MODULE = bytes.fromhex(
    "0061736d01000000010401600000030201000503010001071302066d656d6f72790200065f737461727400000a040102000b"
)
DEADLINE_S = 60.0

Run = Callable[["BenchWorker", wire.Assign], Awaitable[TaskResult | None]]


async def succeed(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    """Every task prints hello and exits 0."""
    return result(assign, stdout=b"hello\n")


def result(assign: wire.Assign, *, stdout: bytes = b"", code: int = 0) -> TaskResult:
    """What an attempt gave that exited with `code`."""
    assert isinstance(assign.work, wire.RunWork)
    return TaskResult(
        job_id=assign.work.job_id,
        index=assign.work.first,
        attempt=assign.attempt,
        worker_id="bench",
        outcome=exited(code),
        stdout=Output(data=stdout, size=len(stdout)),
        started_at=time.time(),
        finished_at=time.time(),
    )


@dataclass
class BenchWorker:
    """A fabric with one worker on it, as far as the leader can tell. `output` is what its live attempts printed."""

    run: Run = succeed
    capacity: Resources = field(
        default_factory=lambda: Resources(milli_cpus=4000, memory_mb=8000, disk_mb=100_000, slots=8)
    )
    output: dict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    printed: asyncio.Event = field(default_factory=asyncio.Event)
    present: bool = True
    connected: bool = True
    tails: int = 0

    def __post_init__(self) -> None:
        self.info = WorkerInfo(
            id="bench",
            incarnation="1",
            version="0",
            capacity=self.capacity,
            labels={"arch": "x86_64"},
            toolchains=[Toolchain(language="c", identity="c-1", version="1", ready=True)],
        )
        self._leader: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def print(self, attempt: int, data: bytes) -> None:
        """The attempt prints; whoever tails it is told."""
        self.output[attempt] += data
        printed, self.printed = self.printed, asyncio.Event()
        printed.set()

    async def serve(self, subject: str, handler: Any, **_: Any) -> BenchWorker:
        if subject == subjects.leaders():
            self._leader = handler
        return self

    async def stop(self) -> None:
        """The end of a subscription."""

    async def publish(self, _subject: str, message: wire.Message, **_: Any) -> None:
        if isinstance(message, wire.Hello) and self.present:
            self._spawn(self._say(wire.Inventory(worker=self.info, term=message.term)))

    async def post(self, _subject: str, message: wire.Message, **_: Any) -> None:
        assert isinstance(message, wire.Assign)
        self._spawn(self._perform(message))

    async def request(self, _subject: str, message: wire.Message, *, timeout_s: float) -> wire.Message:
        if isinstance(message, wire.Ask):
            raise Unreachable("no other server is here")
        assert isinstance(message, wire.TailRequest)
        self.tails += 1
        if len(self.output[message.attempt]) <= message.stdout_offset and message.wait_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(message.wait_s):
                    await self.printed.wait()
        data = bytes(self.output[message.attempt][message.stdout_offset : message.stdout_offset + 200_000])
        return wire.TailChunk(stdout=data)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _perform(self, assign: wire.Assign) -> None:
        work = assign.work
        assert isinstance(work, wire.RunWork)
        for index in range(work.first, work.first + work.count):
            one = replace(assign, work=replace(work, first=index, count=1))
            outcome = await self.run(self, one)
            if outcome is not None:
                await self._say(wire.Results(worker_id="bench", incarnation="1", tasks=[outcome]))

    async def _say(self, message: wire.Message) -> None:
        await self._leader(message, "")

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass
class Bench:
    """What a test has in hand."""

    app: Litestar
    store: Store
    control: Control
    worker: BenchWorker
    http: httpx.AsyncClient

    async def module(self, data: bytes = MODULE) -> str:
        """A module that is in the store."""
        sha256 = sha256_hex(data)
        answer = await self.http.put(f"/v1/modules/{sha256}", content=data)
        assert answer.status_code in {200, 201}, answer.text
        return sha256

    async def submit(self, wait: float = 0, **spec: Any) -> httpx.Response:
        """A submission; of the small module where nothing else is given."""
        if "source" not in spec and "module_sha256" not in spec:
            spec["module_sha256"] = await self.module()
        return await self.http.post("/v1/jobs", json=spec, params={"wait": wait} if wait else {})


@contextlib.asynccontextmanager
async def bench(
    home: Path, *, worker: BenchWorker | None = None, ceiling: Ceiling | None = None, **options: Any
) -> AsyncIterator[Bench]:
    """The API, in this process and without a socket."""
    worker = worker or BenchWorker()
    store = await Store.open(home)
    control = Control(
        store=store, fabric=cast("Fabric", worker), server_id="bench", settings=Settings(lease_s=DEADLINE_S * 10)
    )
    await control.start()
    await asyncio.sleep(0)  # its loops run
    admission = Admission(store, nats_url="nats://127.0.0.1:4222")
    app = create_app(
        store=store, control=control, token=TOKEN, home=home, admission=admission, ceiling=ceiling, **options
    )
    transport = httpx.ASGITransport(app=cast("Any", app))
    client = httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=AUTHORISED, timeout=DEADLINE_S)
    try:
        async with client:
            yield Bench(app, store, control, worker, client)
    finally:
        end_streams(app)
        await worker.close()
        await asyncio.sleep(0)  # what the leader just began has begun
        await control.stop()
        await store.close()


@contextlib.asynccontextmanager
async def listening(app: Litestar) -> AsyncIterator[str]:
    """The same behind a real socket: its base URL."""
    config = uvicorn.Config(app, host=HOST, port=0, log_level="error", lifespan="on", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://{HOST}:{port}"
    finally:
        end_streams(app)
        server.should_exit = True
        await serving


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def check_problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The answer is this problem, as RFC 9457 wants it, and its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    assert body["field"] == field, body
    return body
