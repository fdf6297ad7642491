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
from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import Held, RunWork, Work
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol import agent_events as protocol
from wasmgrid.protocol.agent import Agent
from wasmgrid.worker.attempt import Attempt
from wasmgrid.worker.building import TaskBuilding
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.outbox import Outbox
from wasmgrid.worker.owned import Owned
from wasmgrid.worker.results import CANCELLED
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.running import TaskRunning
from wasmgrid.worker.starts import Starts

TICK_S = 0.1
TELL_S = 0.008  # results of a chunk that goes on wait so long for others, so that a message is not one task's
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
        starts: Starts,
        died: list[Held],
        toolchains: Callable[[], list[Toolchain]],
        on_drain: Callable[[], None],
        ends_at: float | None = None,
    ) -> None:
        """`died` is what a former life left behind; `ends_at` (monotonic) is when this one ends by itself.

        `on_drain` is called when a person asks, through the leader, that this worker leaves.
        """
        self._fabric = fabric
        self._runners = runners
        self._running = running
        self._building = building
        self._modules = modules
        self._on_drain = on_drain
        self._ends_at = ends_at
        self._starts = starts
        self._toolchains = toolchains
        self._agent = Agent(info, died=died, now=time.monotonic())
        self._attempts: dict[int, Attempt] = {}
        self._fresh: dict[int, Attempt] = {}  # with results that are not told yet
        self._telling: asyncio.TimerHandle | None = None
        self._gpus = Owned()
        self._tails: set[asyncio.Task[None]] = set()
        self._outbox = Outbox(fabric, subjects.leader(info.id))
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
        await self._fabric.serve(subjects.worker(self._agent.info.id), self._hear, concurrency=1)
        await self._fabric.serve(subjects.hello(), self._hear, concurrency=1)
        for loop in (self._outbox.run(), self._tick_loop(), self._reach_loop()):
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
        self._tell()
        self._perform(self._agent.leave())
        attempts = [one.task for one in self._attempts.values() if one.task is not None]
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        await self._outbox.sent(within_s=1.0)
        others = [*self._loops, *self._tails]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def reconnected(self) -> None:
        """The fabric came back: messages may be missing on both sides."""
        self._handle(protocol.Tick())  # were we away for the whole lease, that comes first
        self._handle(protocol.Reconnected())

    # ---- events in

    async def _hear(self, message: wire.Message, reply: str) -> None:
        """Waits for nothing, so that it needs no task; what takes its time gets one."""
        if isinstance(message, FROM_LEADER):
            self._handle(protocol.Heard(message))
            if self._agent.leader_id:
                self.joined.set()
        elif isinstance(message, wire.TailRequest):
            task = asyncio.get_running_loop().create_task(self._tail(message, reply))
            self._tails.add(task)
            task.add_done_callback(self._tails.discard)

    def _handle(self, event: protocol.Event) -> None:
        self._perform(self._agent.handle(event, time.monotonic()))

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._show_progress()
            self._handle(protocol.Tick())
            self._starts.flush()

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
                    self._outbox.put(message)
                case protocol.Begin(attempt, work):
                    self._begin(attempt, work)
                case protocol.Stop(attempt, reason):
                    self._stop_attempt(attempt, reason)
                case protocol.Forget():
                    pass  # nothing is kept of it
                case protocol.DrainAsked():
                    self._on_drain()
        if self._agent.idle:
            self.idle.set()
        else:
            self.idle.clear()

    def _begin(self, attempt: int, work: Work) -> None:
        one = self._attempts[attempt] = Attempt(attempt, work, self._has_news)
        one.task = asyncio.get_running_loop().create_task(self._attempt(one))
        one.task.add_done_callback(partial(self._attempt_over, one))

    def _attempt_over(self, one: Attempt, task: asyncio.Task[None]) -> None:
        del self._attempts[one.id]
        if one.cancelled and task.cancelled():  # also where it was cancelled before its first step
            if isinstance(one.work, RunWork):
                self._running.give_up(one, one.work)
            else:
                self._handle(protocol.Ended(self._building.refusal(one.id, one.work, CANCELLED)))
        self._tell_of(one)

    def _stop_attempt(self, attempt: int, reason: protocol.StopReason) -> None:
        one = self._attempts.get(attempt)
        if one is None or one.task is None:
            return
        if reason is protocol.StopReason.CANCELLED:
            one.cancelled = True
            if self._running.stop(one):
                return
        one.task.cancel()

    async def _attempt(self, one: Attempt) -> None:
        work = one.work
        try:
            if isinstance(work, RunWork) and work.gpus:
                async with self._gpus.hold(work.gpus):
                    await self._do(one)
            else:
                await self._do(one)
        except Exception as error:
            whose = {"job": work.job_id} if isinstance(work, RunWork) else {"build": work.build_id}
            log.exception("an attempt failed in the agent", attempt=one.id, **whose)
            outcome = Outcome(kind=OutcomeKind.LOST, message=f"the worker failed: {type(error).__name__}: {error}")
            if isinstance(work, RunWork):
                self._running.fail(one, work, outcome)
            else:
                self._handle(protocol.Ended(self._building.refusal(one.id, work, outcome)))

    async def _do(self, one: Attempt) -> None:
        work = one.work
        self._starts.began(one.held())
        try:
            if isinstance(work, RunWork):
                await self._running.run(one, work)
            else:
                result = await self._building.run(one.id, work, one.advance)
                self._describe_toolchains()
                self._handle(protocol.Ended(result))
        finally:
            self._tell_of(one)
            self._starts.ended(one.id, one.returned)

    # ---- what came of attempts

    def _has_news(self, one: Attempt) -> None:
        """An attempt that is over is told of at once: its room is free; of one that goes on, with others soon."""
        if not one.left:
            self._tell_of(one)
            return
        self._fresh[one.id] = one
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_S, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        for one in list(self._fresh.values()):
            self._tell_of(one)

    def _tell_of(self, one: Attempt) -> None:
        news = one.take()
        if news is None:
            return
        self._fresh.pop(one.id, None)
        if news.ended:
            if one.several:
                self._starts.ran(one.id, news.ended)
            self._handle(protocol.Ended(results=news.results, ranges=news.ranges))
        if news.rest:
            self._handle(protocol.Returned(one.id, news.rest))

    def _show_progress(self) -> None:
        """Whatever lives long enough for it is seen; most attempts are over before."""
        for one in list(self._attempts.values()):
            running = self._running.running(one) if one.several else None
            state = (one.phase, one.detail, one.started_at, running)
            if state != one.told:
                one.told = state
                self._handle(
                    protocol.Advanced(
                        attempt=one.id,
                        phase=one.phase,
                        detail=one.detail,
                        started_at=one.started_at,
                        running=running,
                    )
                )

    def _cache_changed(self) -> None:
        self._handle(protocol.CacheChanged(self._modules.digests, self._modules.bytes))

    def _describe_toolchains(self) -> None:
        """A build may have installed a toolchain: say so, for the next ones."""
        toolchains = self._toolchains()
        if toolchains != self._agent.info.toolchains:
            self._handle(protocol.Described(replace(self._agent.info, toolchains=toolchains)))

    async def _tail(self, request: wire.TailRequest, reply: str) -> None:
        chunk = await self._runners.tail(
            (request.attempt, request.index),
            stdout_offset=request.stdout_offset,
            stderr_offset=request.stderr_offset,
            wait_s=request.wait_s,
        )
        with contextlib.suppress(WasmgridError):  # whoever asked meets its time-out, and asks again
            await self._fabric.answer(reply, chunk)
