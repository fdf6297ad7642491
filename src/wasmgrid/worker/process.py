"""One worker process, put together: directory, fabric, runners, caches, compilers, agent. Stopped in reverse."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import structlog

from wasmgrid import __version__, logs
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.worker import joining
from wasmgrid.worker.departure import Departure
from wasmgrid.worker.options import WorkerOptions, check, stated

if TYPE_CHECKING:
    from wasmgrid.fabric.credentials import Credential
    from wasmgrid.worker.agent import WorkerAgent

__all__ = ["WorkerOptions", "run", "work"]

_GC_THRESHOLDS = (20_000, 20, 20)
_PATIENCE_S = 3.0  # a leader that is there has said hello by then

log = structlog.get_logger()


def run(options: WorkerOptions) -> int:
    """`work` in a loop of its own; the exit code of the process."""
    import uvloop  # noqa: PLC0415 -- heavy imports wait until a worker is really meant to run

    return uvloop.run(work(options))


async def work(options: WorkerOptions) -> int:
    """Be a worker until a signal, a drain or its time ends it: 0. `EXIT_MISMATCH` where its grid has another version.

    Raises `HomeInUse` where that worker runs already, and `InvalidField`, `NotFound`, `Unavailable` where it cannot be
    what it was asked to be.
    """
    check(options)
    credential = joining.credential_of(options)
    options.home.create()
    departure = Departure(drain_s=options.drain_s, until_s=options.until_s, tell=options.tell or log.warning)
    departure.listen()
    taken: set[str] = set()
    try:
        while True:
            worker_id, lock = joining.claim(options.home, options.worker_id, credential, taken=taken)
            try:
                await _be(worker_id, options, credential, departure)
            except joining.IdTaken:  # on another machine
                if options.worker_id is not None:
                    raise
                taken.add(worker_id)
            else:
                return departure.exit_code
            finally:
                os.close(lock)
    finally:
        departure.close()


async def _be(worker_id: str, options: WorkerOptions, credential: Credential | None, departure: Departure) -> None:
    """One worker, from the start to the end of its life. Raises `IdTaken` where it is not to be this one."""
    path = options.home.logs / f"worker-{worker_id}.log"
    logs.configure(path, verbose=options.verbose, json=options.log_format == "json")
    logs.about(worker=worker_id)
    async with AsyncExitStack() as stack:
        agents: list[WorkerAgent] = []

        async def assemble() -> None:
            agents.append(await _assemble(stack, options, worker_id, credential, departure))

        await _either(assemble(), departure.asked.wait())
        for agent in agents:  # none where it had to leave before it was one
            await _live(agent, worker_id, departure, options)


async def _live(agent: WorkerAgent, worker_id: str, departure: Departure, options: WorkerOptions) -> None:
    """From the first word to the last but one; what is left then is given back."""
    tell: Callable[[str], None] = options.tell or log.warning
    log.info("worker started")
    _spare_the_collector()
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            await _either(agent.joined.wait(), departure.asked.wait())
    if not agent.joined.is_set() and not departure.asked.is_set():
        tell(f"worker {worker_id} is connected, and waiting for a server that leads")
        await _either(agent.joined.wait(), departure.asked.wait())
    if agent.joined.is_set() and options.tell is not None:
        tell(f"worker {worker_id} has joined · stop: Ctrl-C, or wasmgrid drain {worker_id}")
    await departure.asked.wait()
    agent.drain()
    if departure.why:
        last = "" if agent.idle.is_set() else ", once what it runs is finished"
        (options.tell or log.info)(f"worker {worker_id} leaves{last}: {departure.why}")
    await _either(agent.idle.wait(), departure.over.wait())


def _spare_the_collector() -> None:
    """What is here now stays for life; what comes and goes with attempts has no cycles to speak of."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def _either(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of these; the others are cancelled. Raises what the first raised."""
    tasks = [asyncio.create_task(one) for one in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Waits:
    """Waiting for a connection, told with its reason; and that it is over, where it was told."""

    def __init__(self, worker_id: str, options: WorkerOptions) -> None:
        self._worker_id = worker_id
        self._tell: Callable[[str], None] = options.tell or log.warning
        self._told = False

    def begin(self, why: str) -> None:
        self._told = True
        self._tell(f"worker {self._worker_id} waits: {why}")

    def end(self, how: str) -> None:
        if self._told:
            self._told = False
            self._tell(f"worker {self._worker_id} {how}")


async def _assemble(
    stack: AsyncExitStack,
    options: WorkerOptions,
    worker_id: str,
    credential: Credential | None,
    departure: Departure,
) -> WorkerAgent:
    """Everything in its order; `stack` undoes it."""
    from wasmgrid.build.builder import Builder  # noqa: PLC0415
    from wasmgrid.build.provision import default_directory  # noqa: PLC0415
    from wasmgrid.fabric.connection import Fabric  # noqa: PLC0415
    from wasmgrid.worker import gpus  # noqa: PLC0415
    from wasmgrid.worker.agent import WorkerAgent  # noqa: PLC0415
    from wasmgrid.worker.blame import blamed  # noqa: PLC0415
    from wasmgrid.worker.blobs import BlobCache  # noqa: PLC0415
    from wasmgrid.worker.building import TaskBuilding  # noqa: PLC0415
    from wasmgrid.worker.capacity import labels, probe  # noqa: PLC0415
    from wasmgrid.worker.claims import Claim  # noqa: PLC0415
    from wasmgrid.worker.courier import Courier  # noqa: PLC0415
    from wasmgrid.worker.interpreters import Interpreters  # noqa: PLC0415
    from wasmgrid.worker.modules import ModuleCache  # noqa: PLC0415
    from wasmgrid.worker.runners import Runners  # noqa: PLC0415
    from wasmgrid.worker.running import TaskRunning  # noqa: PLC0415
    from wasmgrid.worker.starts import Starts  # noqa: PLC0415

    offered = gpus.offered(gpus.found(), options.gpus, options.gpu_count)
    directory, incarnation, hostname = options.home.worker(worker_id), secrets.token_hex(8), socket.gethostname()
    agent: WorkerAgent | None = None

    waits = _Waits(worker_id, options)

    async def reconnected() -> None:
        waits.end("is connected again")
        if agent is not None:
            await agent.reconnected()

    fabric = await Fabric.connect(
        joining.endpoint(options, credential),
        name=f"worker-{worker_id}",
        inbox=None if credential is None else credential.name,
        on_reconnect=reconnected,
        on_mismatch=departure.mismatched,
        on_waiting=waits.begin,
    )
    waits.end("is connected")
    stack.push_async_callback(fabric.close)
    if credential is not None:
        place = f"{hostname} (pid {os.getpid()})"
        await Claim(fabric, worker_id, incarnation, place, on_displaced=departure.displaced).settle()
    starts = Starts(directory, incarnation)
    stack.callback(starts.close)
    died = blamed(starts.died, directory / "runners")
    runners = Runners(directory / "runners")
    stack.push_async_callback(runners.close)
    confinement = await runners.start()
    modules = ModuleCache(directory / "cache")
    stack.push_async_callback(modules.close)
    builder = Builder(default_directory(), directory / "builds", unsandboxed=options.unsandboxed_builds)
    probed = probe(directory, sized_scratch=confinement.sized_scratch, reserved_mb=modules.memory_mb)
    info = WorkerInfo(
        id=worker_id,
        incarnation=incarnation,
        version=__version__,
        capacity=stated(options, probed, len(offered)),
        gpus=offered,
        labels=labels(hostname) | gpus.labels(offered) | options.labels,
        toolchains=builder.toolchains(),
        builds_only=options.builds_only,
        hostname=hostname,
        pid=os.getpid(),
    )
    courier = Courier(fabric, lambda: agent.leader_id if agent is not None else "")
    blobs = BlobCache(directory / "cache" / "blobs", courier)
    modules.interpreters = interpreters = Interpreters(builder.interpreter, courier)
    agent = WorkerAgent(
        info=info,
        fabric=fabric,
        runners=runners,
        running=TaskRunning(
            worker_id=worker_id, modules=modules, runners=runners, blobs=blobs, courier=courier, gpus=offered
        ),
        building=TaskBuilding(
            worker_id=worker_id,
            builder=builder,
            blobs=blobs,
            modules=modules,
            courier=courier,
            interpreters=interpreters,
            prepares=not options.builds_only,
        ),
        modules=modules,
        starts=starts,
        died=died,
        toolchains=builder.toolchains,
        on_drain=departure.drained,
        ends_at=departure.ends_at,
    )
    stack.push_async_callback(agent.stop)
    await agent.start()
    return agent
