"""The worker's loop: the leader's words go to `protocol.Agent`, its commands are performed by runners and compilers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

import structlog
from msgspec.structs import replace

from wasmgrid.core import wire
from wasmgrid.core.errors import TimedOutWaiting, Unreachable, WasmgridError
from wasmgrid.core.job import BuildResult, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import BuildWork, Held, RunWork, Work
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol import agent_events as protocol
from wasmgrid.protocol.agent import Agent
from wasmgrid.worker.building import TaskBuilding
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.owned import Owned
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.running import CANCELLED, TaskRunning
from wasmgrid.worker.startlog import StartLog
from wasmgrid.worker.starts import Starts

TICK_S = 0.1
FROM_LEADER = (wire.Hello, wire.Assign, wire.Cancel, wire.ResultsAck, wire.DrainWorker)

log = structlog.get_logger()


class WorkerAgent:
    """One life of a worker. Everything here runs on one event loop."""

    def __init__(
        self,
        *,
        info: WorkerInfo,
        fabric: Fabric,
        runners: Runners,
        running: TaskRunning,
        building: TaskBuilding,
        modules: ModuleCache,
        startlog: StartLog,
        starts: Starts,
        toolchains: Callable[[], list[Toolchain]],
        on_drain: Callable[[], None],
        ends_at: float | None = None,
    ) -> None:
        """`on_drain` is called when a person asks, through the leader, that this worker leaves.

        `ends_at` (monotonic): when it ends by itself.
        """
        self._fabric = fabric
        self._runners = runners
        self._running = running
        self._building = building
        self._modules = modules
        self._on_drain = on_drain
        self._ends_at = ends_at
        self._startlog = startlog
        self._starts = starts
        self._toolchains = toolchains
        self._agent = Agent(info, died=startlog.died, now=time.monotonic())
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self._gpus = Owned()
        self._cancelled: set[int] = set()
        self._say_queue: asyncio.Queue[wire.Message] = asyncio.Queue()
        self._loops: list[asyncio.Task[None]] = []
        self.idle = asyncio.Event()  # it holds nothing, also no result that is not acknowledged
        self.joined = asyncio.Event()  # a leader said hello

    @property
    def leader_id(self) -> str:
        """The server that leads, as far as this worker heard; empty before the first hello."""
        return self._agent.leader_id

    # ---- life

    async def start(self) -> None:
        """Listen, introduce this worker, and go on until `stop`."""
        await self._fabric.serve(subjects.worker(self._agent.info.id), self._hear)
        await self._fabric.serve(subjects.hello(), self._hear)
        for loop in (self._say_loop(), self._tick_loop(), self._reach_loop()):
            self._loops.append(asyncio.create_task(loop))
        self._modules.watch(self._cache_changed)
        self._cache_changed()
        if self._ends_at is None:
            self._perform(self._agent.introduce(time.monotonic()))
        else:  # which it introduces itself with
            self._handle(protocol.Lifetime(max(0.0, self._ends_at - time.monotonic())))

    def drain(self) -> None:
        """Take nothing more; `idle` is set when what is held has come to its end."""
        self._handle(protocol.Drain())

    async def stop(self) -> None:
        """Give back what is held, say goodbye, end every child."""
        self._perform(self._agent.leave())
        attempts = list(self._attempts.values())
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._say_queue.join()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def reconnected(self) -> None:
        """The fabric came back: messages may be missing on both sides."""
        self._handle(protocol.Tick())  # were we away for the whole lease, that comes first
        self._handle(protocol.Reconnected())

    # ---- events in

    async def _hear(self, message: wire.Message, _reply: str) -> wire.Message | None:
        if isinstance(message, FROM_LEADER):
            self._handle(protocol.Heard(message))
            if self._agent.leader_id:
                self.joined.set()
        elif isinstance(message, wire.TailRequest):
            return await self._tail(message)
        return None

    def _handle(self, event: protocol.Event) -> None:
        self._perform(self._agent.handle(event, time.monotonic()))

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._handle(protocol.Tick())

    async def _reach_loop(self) -> None:
        """Whether this worker's words arrive is what its lease hangs on."""
        while True:
            if await self._fabric.reachable(self._agent.lease_s / 3):
                self._handle(protocol.Tick())  # a process that was stopped may find old answers; its lease lapsed first
                self._handle(protocol.Reached())
            await asyncio.sleep(self._agent.heartbeat_s)

    # ---- commands out

    def _perform(self, commands: list[protocol.Command]) -> None:
        for command in commands:
            match command:
                case protocol.Say(message):
                    self._say_queue.put_nowait(message)
                case protocol.Begin(attempt, work):
                    self._begin(attempt, work)
                case protocol.Stop(attempt, reason):
                    self._stop_attempt(attempt, reason)
                case protocol.Forget(attempt):
                    self._startlog.settled(attempt)
                case protocol.DrainAsked():
                    self._on_drain()
        if self._agent.idle:
            self.idle.set()
        else:
            self.idle.clear()

    async def _say_loop(self) -> None:
        """One sender, so that words keep their order. What cannot be sent is told again or settled by inventories."""
        while True:
            message = await self._say_queue.get()
            try:
                await self._fabric.publish(subjects.leader(self._agent.info.id), message)
            except (Unreachable, TimedOutWaiting):
                pass
            except WasmgridError as error:
                log.error("not said", error=str(error), message=type(message).__name__)
            finally:
                self._say_queue.task_done()

    def _begin(self, attempt: int, work: Work) -> None:
        held = (
            Held(attempt=attempt, kind="run", id=work.job_id, index=work.first, gpus=work.gpus)
            if isinstance(work, RunWork)
            else Held(attempt=attempt, kind="build", id=work.build_id)
        )
        self._startlog.began(held)
        task = asyncio.get_running_loop().create_task(self._attempt(held, work))
        self._attempts[attempt] = task
        task.add_done_callback(partial(self._attempt_over, attempt, work))

    def _attempt_over(self, attempt: int, work: Work, task: asyncio.Task[None]) -> None:
        del self._attempts[attempt]
        if attempt in self._cancelled:
            self._cancelled.discard(attempt)
            if task.cancelled():  # also where it was cancelled before its first step
                self._handle(protocol.Ended(self._refusal(attempt, work, CANCELLED)))

    def _stop_attempt(self, attempt: int, reason: protocol.StopReason) -> None:
        task = self._attempts.get(attempt)
        if task is None:
            return
        if reason is protocol.StopReason.CANCELLED:
            if self._running.cancel(attempt):
                return
            self._cancelled.add(attempt)
        task.cancel()

    async def _attempt(self, held: Held, work: Work) -> None:
        attempt = held.attempt
        try:
            async with self._gpus.hold(held.gpus):
                self._starts.began(held)
                try:
                    result = await self._result(attempt, work)
                finally:
                    self._starts.ended(attempt)
                    self._startlog.settled(attempt)  # were the agent to die now, nothing would die with it
        except Exception as error:
            log.exception("an attempt failed in the agent", attempt=attempt)
            message = f"the worker failed: {type(error).__name__}: {error}"
            result = self._refusal(attempt, work, Outcome(kind=OutcomeKind.LOST, message=message))
        self._handle(protocol.Ended(result))

    async def _result(self, attempt: int, work: Work) -> TaskResult | BuildResult:
        advance = partial(self._advance, attempt)
        if isinstance(work, RunWork):
            return await self._running.run(attempt, work, advance)
        result = await self._building.run(attempt, work, advance)
        self._describe_toolchains()
        return result

    def _refusal(self, attempt: int, work: Work, outcome: Outcome) -> TaskResult | BuildResult:
        if isinstance(work, BuildWork):
            return self._building.refusal(attempt, work, outcome)
        return self._running.refusal(attempt, work, outcome)

    def _advance(self, attempt: int, phase: str, detail: str, started_at: float | None) -> None:
        self._handle(protocol.Advanced(attempt=attempt, phase=phase, detail=detail, started_at=started_at))

    def _cache_changed(self) -> None:
        self._handle(protocol.CacheChanged(self._modules.digests, self._modules.bytes))

    def _describe_toolchains(self) -> None:
        """A build may have installed a toolchain: say so, for the next ones."""
        toolchains = self._toolchains()
        if toolchains != self._agent.info.toolchains:
            self._handle(protocol.Described(replace(self._agent.info, toolchains=toolchains)))

    async def _tail(self, request: wire.TailRequest) -> wire.TailChunk:
        return await self._runners.tail(
            (request.attempt, request.index),
            stdout_offset=request.stdout_offset,
            stderr_offset=request.stderr_offset,
            wait_s=request.wait_s,
        )
