"""One worker process, put together: directory, fabric, runners, caches, compilers, agent. Stopped in reverse."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from wasmgrid import __version__, logs
from wasmgrid.core.errors import HomeInUse, NotFound
from wasmgrid.core.resources import Resources, milli
from wasmgrid.core.worker import WorkerInfo, check_id, check_labels
from wasmgrid.home import FabricEndpoint, Home

if TYPE_CHECKING:
    from wasmgrid.worker.agent import WorkerAgent

STOP_S = 2.0  # what runs when a worker is told to stop gets this long; then it is given back

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What `wasmgrid worker` was asked for. What is None is probed; the id is then the first free of w1, w2, ..."""

    home: Home
    worker_id: str | None = None
    nats_url: str | None = None
    cpus: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: int | None = None
    slots: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    unsandboxed_builds: bool = False
    builds_only: bool = False
    stop_s: float = STOP_S
    verbose: bool = False


def run(options: WorkerOptions) -> int:
    """`work` in a loop of its own; the exit code of the process."""
    import uvloop  # noqa: PLC0415 -- heavy imports wait until a worker is really meant to run

    return uvloop.run(work(options))


async def work(options: WorkerOptions) -> int:
    """Be a worker until a signal says otherwise. Raises `HomeInUse` where that worker runs already."""
    check_labels(options.labels, field="labels")
    options.home.create()
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    worker_id, lock = _lock(options.home, options.worker_id)
    try:
        logs.configure(options.home.logs / f"worker-{worker_id}.log", verbose=options.verbose)
        async with AsyncExitStack() as stack:
            agent = await _assemble(stack, options, worker_id)
            log.info("worker started", worker=worker_id)
            await stop.wait()
            await agent.drain(options.stop_s)
    finally:
        os.close(lock)
    return 0


async def _assemble(stack: AsyncExitStack, options: WorkerOptions, worker_id: str) -> WorkerAgent:
    """Everything in its order; `stack` undoes it."""
    from wasmgrid.build.builder import Builder  # noqa: PLC0415
    from wasmgrid.build.provision import default_directory  # noqa: PLC0415
    from wasmgrid.fabric.connection import Fabric  # noqa: PLC0415
    from wasmgrid.worker.agent import WorkerAgent  # noqa: PLC0415
    from wasmgrid.worker.blobs import BlobCache  # noqa: PLC0415
    from wasmgrid.worker.building import TaskBuilding  # noqa: PLC0415
    from wasmgrid.worker.capacity import labels, probe  # noqa: PLC0415
    from wasmgrid.worker.courier import Courier  # noqa: PLC0415
    from wasmgrid.worker.modules import ModuleCache  # noqa: PLC0415
    from wasmgrid.worker.runners import Runners  # noqa: PLC0415
    from wasmgrid.worker.running import TaskRunning  # noqa: PLC0415
    from wasmgrid.worker.startlog import StartLog  # noqa: PLC0415

    directory = options.home.worker(worker_id)
    startlog = StartLog(directory / "started.log")
    stack.callback(startlog.close)
    runners = Runners(directory / "runners")
    stack.push_async_callback(runners.close)
    confinement = await runners.start()
    modules = ModuleCache(directory / "cache")
    builder = Builder(default_directory(), directory / "builds", unsandboxed=options.unsandboxed_builds)
    probed = probe(directory, sized_scratch=confinement.sized_scratch, reserved_mb=modules.memory_mb)
    info = WorkerInfo(
        id=worker_id,
        incarnation=secrets.token_hex(8),
        version=__version__,
        capacity=_stated(options, probed),
        labels=labels() | options.labels,
        toolchains=builder.toolchains(),
        builds_only=options.builds_only,
        hostname=socket.gethostname(),
        pid=os.getpid(),
    )
    agent: WorkerAgent | None = None

    async def reconnected() -> None:
        if agent is not None:
            await agent.reconnected()

    fabric = await Fabric.connect(_endpoint(options), name=f"worker-{worker_id}", on_reconnect=reconnected)
    stack.push_async_callback(fabric.close)
    courier = Courier(fabric, lambda: agent.leader_id if agent is not None else "")
    blobs = BlobCache(directory / "cache" / "blobs", courier)
    agent = WorkerAgent(
        info=info,
        fabric=fabric,
        runners=runners,
        running=TaskRunning(worker_id=worker_id, modules=modules, runners=runners, blobs=blobs, courier=courier),
        building=TaskBuilding(worker_id=worker_id, builder=builder, blobs=blobs, modules=modules, courier=courier),
        startlog=startlog,
        toolchains=builder.toolchains,
    )
    stack.push_async_callback(agent.stop)
    await agent.start()
    return agent


def _stated(options: WorkerOptions, probed: Resources) -> Resources:
    """The probed capacity, but for what was stated."""
    cpus = None if options.cpus is None else milli(options.cpus)
    stated = {
        "milli_cpus": cpus,
        "memory_mb": options.memory_mb,
        "disk_mb": options.disk_mb,
        "gpus": options.gpus,
        "slots": options.slots if options.slots is not None else cpus and max(2, 2 * cpus // 1000),
    }
    return replace(probed, **{name: value for name, value in stated.items() if value is not None})


def _endpoint(options: WorkerOptions) -> Callable[[], FabricEndpoint]:
    """Where the fabric is: read anew at every connection, because a restarted server may have another port."""

    def read() -> FabricEndpoint:
        if options.nats_url is not None:
            return FabricEndpoint.parse(options.nats_url)
        endpoint = options.home.fabric()
        if endpoint is None:
            raise NotFound(
                f"no grid in {options.home.path} yet", hint="start one: wasmgrid up, or name one: --nats URL"
            )
        return endpoint

    return read


def _lock(home: Home, worker_id: str | None) -> tuple[str, int]:
    """The worker's id, and the descriptor that holds its directory for as long as it is open."""
    if worker_id is not None:
        descriptor = _try_lock(home.worker(check_id(worker_id, field="worker_id")))
        if descriptor is None:
            raise HomeInUse(f"the worker {worker_id} runs already", hint="give this one another name: --id NAME")
        return worker_id, descriptor
    number = 1
    while (descriptor := _try_lock(home.worker(f"w{number}"))) is None:
        number += 1
    return f"w{number}", descriptor


def _try_lock(directory: Path) -> int | None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
