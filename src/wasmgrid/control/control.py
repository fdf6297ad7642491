"""The leader's loop: events from the store, the fabric and the API go to `protocol.Leader`, its commands are performed.

Decisions are in `protocol/` and `scheduling/`; here are the clock, the sockets and the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import structlog

from wasmgrid.control.performer import Performer
from wasmgrid.core import wire
from wasmgrid.core.errors import TimedOutWaiting, Unreachable, WasmgridError
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol import events, views
from wasmgrid.protocol.leader import Leader
from wasmgrid.protocol.state import Counters, Settings
from wasmgrid.scheduling.explain import Why
from wasmgrid.store import Store, rows

SWEEP_S = 1.0
PAGE = 1000
REMEMBER_FINISHED = 100_000
TAIL_MARGIN_S = 5.0
WORKER_STATES_THAT_MAY_HOLD = frozenset({"joined", "draining"})
TO_LEADER = (wire.Inventory, wire.Heartbeat, wire.Progress, wire.Refused, wire.Results, wire.Leave)

log = structlog.get_logger()


class Control:
    """Leads the grid for one term. Everything here runs on one event loop; `superseded` is set when another leads."""

    def __init__(self, *, store: Store, fabric: Fabric, server_id: str, settings: Settings | None = None) -> None:
        self._store = store
        self._fabric = fabric
        self._server_id = server_id
        self._settings = settings or Settings()
        self._leader: Leader | None = None
        self._performer: Performer | None = None
        self._watchers: dict[int, set[asyncio.Event]] = {}
        self._finished: dict[int, None] = {}
        self._swept_id = 0
        self._released = False
        self.superseded = asyncio.Event()

    # ---- life

    async def start(self) -> None:
        """Take the leadership, load what is unfinished, greet the workers."""
        term = await self._store.lead(self._server_id)
        known = [row.id for row in await self._store.workers() if row.state in WORKER_STATES_THAT_MAY_HOLD]
        self._leader = Leader(
            term=term,
            leader_id=self._server_id,
            known_workers=known,
            now=time.monotonic(),
            settings=self._settings,
        )
        performer = self._performer = Performer(
            store=self._store, fabric=self._fabric, term=term, tell=self._handle, end=self.superseded.set
        )
        await self._load(old=True)
        await self._fabric.serve(subjects.leaders(), self._hear)
        self._perform(self._leader.begin(time.monotonic()))
        performer.start()
        performer.spawn(self._tick_loop())
        performer.spawn(self._sweep_loop())
        log.info("leading", term=term, unfinished=len(self.leader.state.jobs), known_workers=len(known))

    async def stop(self) -> None:
        """Stop leading; what is unfinished stays in the store for the next leader."""
        if self._performer is not None:
            await self._performer.stop()
        self.release()

    def release(self) -> None:
        """End every `watch` and `wait_finished` now: this server stops, and whoever waits asks the next one."""
        self._released = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.set()

    @property
    def leader(self) -> Leader:
        """The pure half; only between `start` and `stop`."""
        if self._leader is None:
            raise Unreachable("this server does not lead yet", hint="try again in a moment")
        return self._leader

    @property
    def counters(self) -> Counters:
        """What happened since the take-over."""
        return self.leader.state.counters

    @property
    def unfinished(self) -> int:
        """How many jobs are not finished."""
        return len(self.leader.state.jobs)

    async def reconnected(self) -> None:
        """The fabric came back: workers may not know that they were not heard."""
        if self._leader is not None:
            self._perform([events.ToAll(self._leader.state.hello())])

    # ---- what the API says

    def submitted(self, job: rows.OpenJob) -> None:
        """A job is committed."""
        self._arrive(job, old=False)

    def cancel_requested(self, job_id: int) -> None:
        """A wish to cancel is committed."""
        self._handle(events.CancelAsked(job_id))

    def modules_pruned(self) -> None:
        """Builds and modules may have gone from the store."""
        self._handle(events.ModulesPruned())

    # ---- what the API asks

    def live(self, job_id: int) -> events.LiveJob | None:
        """What is known of an unfinished job beyond the store; None where its end is committed or on its way."""
        return views.live(self.leader.state, job_id)

    def why(self, job_id: int) -> Why | None:
        """Why a job does not run; None where it is finished or unknown."""
        return views.why(self.leader.state, job_id)

    async def wait_finished(self, job_id: int, timeout_s: float) -> bool:
        """Whether the job's end was committed within `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for _ in self.watch(job_id):
                    pass
        return job_id not in self.leader.state.jobs

    async def watch(self, job_id: int) -> AsyncIterator[None]:
        """One tick per change of the job, several at once being one; ends when its end is committed."""
        changed = asyncio.Event()
        self._watchers.setdefault(job_id, set()).add(changed)
        try:
            while not self._released and job_id in self.leader.state.jobs:
                await changed.wait()
                changed.clear()
                yield
        finally:
            watchers = self._watchers[job_id]
            watchers.discard(changed)
            if not watchers:
                del self._watchers[job_id]

    def workers(self) -> list[WorkerView]:
        """Every worker that is there."""
        return views.workers(self.leader.state, time.monotonic())

    def toolchains(self) -> list[Toolchain]:
        """The toolchains of the workers that are there, a ready one before the same to be installed."""
        return views.toolchains(self.leader.state)

    def submission_warnings(self, spec: StoredSpec) -> list[str]:
        """What a person should know at once: that nobody here could ever run this."""
        return views.submission_warnings(self.leader.state, spec)

    async def tail(
        self, job_id: int, *, index: int, stdout_offset: int, stderr_offset: int, wait_s: float
    ) -> wire.TailChunk | None:
        """Live output from these offsets, waiting up to `wait_s` for some; None where no attempt runs now."""
        live = self.live(job_id)
        task = next((task for task in live.tasks if task.index == index), None) if live else None
        if task is None:
            return None
        request = wire.TailRequest(
            attempt=task.attempt, index=index, stdout_offset=stdout_offset, stderr_offset=stderr_offset, wait_s=wait_s
        )
        try:
            answer = await self._fabric.request(
                subjects.worker(task.worker_id), request, timeout_s=wait_s + TAIL_MARGIN_S
            )
        except (Unreachable, TimedOutWaiting):
            return None
        return answer if isinstance(answer, wire.TailChunk) and answer.known else None

    # ---- events in

    async def _hear(self, message: wire.Message, _reply: str) -> wire.Message | None:
        if isinstance(message, TO_LEADER):
            self._handle(events.Said(message))
        return None

    def _arrive(self, job: rows.OpenJob, *, old: bool) -> None:
        if job.id in self._finished:  # the sweep read it just before its end was committed
            return
        self._handle(
            events.JobArrived(
                job_id=job.id,
                tenant=job.tenant,
                spec=job.spec,
                task_count=job.task_count,
                module_sha256=job.module_sha256,
                cancel_requested=job.cancel_requested,
                old=old,
                done=job.done,
                crashes=job.crashes,
            )
        )

    def _handle(self, event: events.Event) -> None:
        self._perform(self.leader.handle(event, time.monotonic()))

    async def _load(self, *, old: bool) -> None:
        """Take up the unfinished jobs of the store that are not known yet."""
        while True:
            page = await self._store.unfinished(after_id=self._swept_id, limit=PAGE)
            for job in page:
                self._swept_id = max(self._swept_id, job.id)
                self._arrive(job, old=old)
            if len(page) < PAGE:
                return

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(self.leader.tick_s)
            self._handle(events.Tick())

    async def _sweep_loop(self) -> None:
        """Notices are hints: a job whose notice was lost is found here."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._load(old=False)
            except WasmgridError as error:
                log.warning("the sweep could not read the store", error=str(error))

    def _perform(self, commands: list[events.Command]) -> None:
        for command in commands:
            if isinstance(command, events.Changed):
                self._notify(command.job_id, finished=command.finished)
            elif self._performer is not None:
                self._performer.perform(command)

    def _notify(self, job_id: int, *, finished: bool) -> None:
        if finished:
            self._finished[job_id] = None
            if len(self._finished) > REMEMBER_FINISHED:
                del self._finished[next(iter(self._finished))]
        for watcher in self._watchers.get(job_id, ()):
            watcher.set()
