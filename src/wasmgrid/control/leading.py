"""The leader's loop for one term: events from the store, the fabric and the API go to `protocol.Leader`, its commands
are performed.

Decisions are in `protocol/` and `scheduling/`; here are the clock, the sockets and the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from wasmgrid.control import glance, questions
from wasmgrid.control.announcing import Announcer
from wasmgrid.control.arrival import arrived
from wasmgrid.control.meter import STEP_S, Meter
from wasmgrid.control.performer import Performer
from wasmgrid.control.sweep import Sweep
from wasmgrid.control.watchers import Watchers
from wasmgrid.core import wire
from wasmgrid.core.errors import NotFound, WasmgridError
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.overview import HeldView, LeaderOverview
from wasmgrid.core.ranges import Run
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.subscription import Subscription
from wasmgrid.protocol import events, plausible, views
from wasmgrid.protocol.leader import Leader
from wasmgrid.protocol.state import Settings, State
from wasmgrid.scheduling.explain import Why
from wasmgrid.store import Store, rows

DEAF_S = 0.1
STALE_S = 2.5  # a leadership that was not renewed for so long may be taken by another server
WORKER_STATES_THAT_MAY_HOLD = frozenset({"joined", "draining"})
TO_LEADER = (wire.Inventory, wire.Heartbeat, wire.Progress, wire.Refused, wire.Returned, wire.Results, wire.Leave)

log = structlog.get_logger()


class Leading:
    """Leads for one term, on one event loop. `over` is called where the term ends: superseded, or a part failed.

    `renewed_at` (monotonic) is when this leadership was last known to be ours; infinity where no other server can be.
    `announce`: other servers are told of changes.
    """

    def __init__(
        self,
        *,
        store: Store,
        fabric: Fabric,
        server_id: str,
        term: int,
        settings: Settings,
        watchers: Watchers,
        meter: Meter,
        over: Callable[[], None],
        renewed_at: float,
        announce: bool,
    ) -> None:
        self.server_id = server_id
        self.term = term
        self.renewed_at = renewed_at
        self._store = store
        self._fabric = fabric
        self._settings = settings
        self._watchers = watchers
        self._meter = meter
        self._unbuilt: dict[int, float] = {}  # since when jobs wait for their modules
        self._performer = Performer(
            store=store,
            fabric=fabric,
            term=term,
            tell=self.handle,
            end=over,
            committed=watchers.committed,
            meter=meter,
        )
        self._announcer = Announcer(fabric, term) if announce else None
        self._sweep = Sweep(store, knows=self._knows, arrive=self._found, cancel=self.cancel_requested)
        self._parts = questions.Parts()
        self._subscriptions: list[Subscription] = []
        self._leader: Leader
        self._begun = False

    # ---- life

    async def start(self) -> None:
        """Load what is unfinished, greet the workers."""
        known = await self._store.workers()
        self._leader = Leader(
            term=self.term,
            leader_id=self.server_id,
            known_workers=[row.id for row in known if row.state in WORKER_STATES_THAT_MAY_HOLD],
            holds={row.id: (row.hold, row.note) for row in known if row.hold},
            now=time.monotonic(),
            settings=self._settings,
        )
        await self._sweep.load()
        hearing = await self._fabric.serve(subjects.leaders(), self._hear, accept=refusal, concurrency=1)
        self._subscriptions.append(hearing)
        self._subscriptions.append(await self._fabric.serve(subjects.ask(), self._hear_server))
        self._perform(self._leader.begin(time.monotonic()))
        self._begun = True
        self._meter.terms += 1
        self._performer.start()
        self._performer.spawn(self._tick_loop())
        self._performer.spawn(self._meter_loop())
        self._performer.spawn(self._sweep.run())
        if self._announcer is not None:
            self._performer.spawn(self._announcer.run())
        self._watchers.wake_all()
        log.info("leading", term=self.term, unfinished=len(self.state.jobs), known_workers=len(known))

    async def stop(self) -> None:
        """Hear, send and write no more; what is unfinished stays in the store for the next leader."""
        for subscription in self._subscriptions:
            await subscription.stop()
        await self._performer.stop()
        if self._begun:
            self._meter.term_over(self.state.counters)

    @property
    def state(self) -> State:
        """What it remembers."""
        return self._leader.state

    @property
    def sure(self) -> bool:
        """Whether no other server can have taken over yet: only then does what it remembers count."""
        return time.monotonic() - self.renewed_at < STALE_S

    def reconnected(self) -> None:
        """The fabric came back: workers may not know that they were not heard."""
        self._perform([events.ToAll(self.state.hello())])

    # ---- what happened

    def handle(self, event: events.Event) -> None:
        """Tell the pure half, and do what it wants done."""
        self._perform(self._leader.handle(event, time.monotonic()))

    def submitted(self, job: rows.OpenJob) -> None:
        """A job is committed."""
        self._arrive(job, old=False)

    def cancel_requested(self, job_id: int) -> None:
        """A wish to cancel is committed."""
        self.handle(events.CancelAsked(job_id))

    def modules_pruned(self) -> None:
        """Builds and modules may have gone from the store."""
        self.handle(events.ModulesPruned())

    # ---- what it knows

    def has(self, job_id: int) -> bool:
        """Whether the job is one of its unfinished ones."""
        return job_id in self.state.jobs

    def live(self, job_id: int) -> events.LiveJob | None:
        """What is known of an unfinished job beyond the store; None where its end is committed, or it is unknown."""
        return views.live(self.state, job_id)

    def why(self, job_id: int) -> Why | None:
        """Why a job does not run; None where it is finished or unknown."""
        return views.why(self.state, job_id)

    def workers(self) -> list[WorkerView]:
        """Every worker that is there."""
        return views.workers(self.state, time.monotonic())

    def toolchains(self) -> list[Toolchain]:
        """The toolchains of the workers that are there, a ready one before the same to be installed."""
        return views.toolchains(self.state)

    def submission_warnings(self, spec: StoredSpec) -> list[str]:
        """What a person should know at once: that nobody here could ever run this."""
        return views.submission_warnings(self.state, spec)

    def done(self, job_id: int) -> list[Run]:
        """The tasks of an unfinished job that have their results, as runs of indexes."""
        return self.state.jobs[job_id].done.runs() if self.has(job_id) else []

    def held(self, job_id: int, index: int | None) -> list[HeldView]:
        """The attempts at a job's tasks, or at one of them, that workers hold now."""
        return glance.held(self.state, job_id, index, time.monotonic())

    def running(self, worker_id: str | None) -> list[int]:
        """The jobs that run, at one worker or at any."""
        return glance.running_jobs(self.state, worker_id)

    def overview(self, points: int) -> LeaderOverview:
        """The whole grid at one glance, with so many of the newest points of its series."""
        return LeaderOverview(
            running_jobs=len(glance.running_jobs(self.state)),
            queue=glance.queue(self.state, self._unbuilt, time.monotonic()),
            workers=glance.workers(self.state),
            success_rate=self._meter.success_rate(),
            builds=self._meter.builds_view(),
            series=self._meter.series(points),
        )

    def act(self, worker_id: str, action: str) -> WorkerView:
        """Drain, cordon or uncordon a worker; it as it is then. Raises `NotFound` where it is not there."""
        self._worker(worker_id)
        self.handle(events.WorkerAsked(worker_id, action))
        return self._worker(worker_id)

    def _worker(self, worker_id: str) -> WorkerView:
        for worker in self.workers():
            if worker.id == worker_id:
                return worker
        raise NotFound(f"no worker {worker_id[:100]!r} is here", hint="list: wasmgrid workers")

    # ---- events in

    async def _hear(self, message: wire.Message, _reply: str) -> wire.Message | None:
        if isinstance(message, TO_LEADER):
            self.handle(events.Said(message))
        return None

    async def _hear_server(self, message: wire.Message, _reply: str) -> wire.Message | None:
        match message:
            case wire.Ask(body=body) if self.sure:
                return self._answer(body)
            case wire.Submitted(ids=ids):
                self._sweep.hint(ids)
            case wire.CancelAsked(job_id=job_id):
                self.cancel_requested(job_id)
        return None

    def _answer(self, body: bytes) -> wire.Answer:
        try:
            question = questions.decode(body)
            if isinstance(question, questions.More):
                part = self._parts.more(question)
            else:
                part = self._parts.first(questions.encode(question.of(self)))
        except WasmgridError as error:
            return wire.Answer(code=error.code, message=error.message, hint=error.hint)
        return wire.Answer(body=questions.encode(part))

    def _knows(self, job_id: int) -> bool:
        """Whether the store's row of an unfinished job says nothing new: its end may have come since it was read."""
        return self.has(job_id) or self._watchers.has_ended(job_id)

    def _found(self, job: rows.OpenJob, old: bool) -> None:
        self._arrive(job, old=old)
        if not old:
            self._watchers.changed(job.id)

    def _arrive(self, job: rows.OpenJob, *, old: bool) -> None:
        if job.module_sha256 is None:
            self._unbuilt[job.id] = time.monotonic() - job.age_s
        self.handle(arrived(job, old=old))

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(self._leader.wake_s(time.monotonic()))
            if not self._fabric.connected:  # who is deaf counts nobody's silence: the core makes up for the pause
                await asyncio.sleep(DEAF_S)
                continue
            self.handle(events.Tick())

    async def _meter_loop(self) -> None:
        """A point of the series at every even second of the clock, so that those of several leaders fit together."""
        self._meter.begin(time.monotonic())
        due = 0.0
        while True:
            due = max(due, time.time()) // STEP_S * STEP_S + STEP_S  # a timer may have come a little early
            await asyncio.sleep(min(due - time.time(), 2 * STEP_S))
            self._meter.step(glance.gauge(self.state), at=due, now=time.monotonic())

    # ---- commands out

    def _perform(self, commands: list[events.Command]) -> None:
        for command in commands:
            if isinstance(command, events.Changed):
                self._changed(command.job_id, finished=command.finished)
            else:
                self._performer.perform(command)

    def _changed(self, job_id: int, *, finished: bool) -> None:
        if job_id in self._unbuilt and (finished or self.state.jobs[job_id].module_sha256 is not None):
            del self._unbuilt[job_id]
        if finished:
            self._watchers.ended(job_id)
        else:
            self._watchers.changed(job_id)
        if self._announcer is not None:
            self._announcer.note(job_id, finished=finished)


def refusal(message: wire.Message, subject: str) -> str:
    """Why not to hear what came to `subject`, where only one worker may publish; empty: it speaks for itself, and can
    be.
    """
    worker_id = message.worker.id if isinstance(message, wire.Inventory) else getattr(message, "worker_id", "")
    if worker_id != subjects.speaker(subject):
        return "it is not its sender's to send"
    return plausible.refusal(message)
