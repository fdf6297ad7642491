"""All that a leader remembers, derived from the store and the workers' inventories; and the commands it gathers."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from wasmgrid.core.job import TaskId
from wasmgrid.core.wire import Cancel, Held, Hello, Message, ResultsAck
from wasmgrid.protocol.builds import Builds
from wasmgrid.protocol.events import Body, Changed, Command, ToAll, ToWorker, Write
from wasmgrid.protocol.fencing import AttemptIds
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.leases import Leases
from wasmgrid.protocol.takeover import Takeover
from wasmgrid.protocol.tasks import Task, Tasks
from wasmgrid.scheduling.scheduler import Adopted, Enqueued, Scheduler, Withdrawn


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a silent worker keeps its tasks, how often it must speak, and how many crashes a task may cause."""

    lease_s: float = 10.0
    heartbeat_s: float = 1.0
    crash_limit: int = 3


class Counters(msgspec.Struct, kw_only=True):
    """What happened since this leader took over; shown, never decided upon."""

    placements: int = 0
    results: int = 0
    stale_results: int = 0
    leases_lost: int = 0
    adopted: int = 0


@dataclass(slots=True)
class Pending:
    """A write on its way: what to tell whom once it is committed."""

    write: Write
    acks: list[tuple[str, int]] = field(default_factory=list)
    over: list[Task] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    failed: bool = False


class State:
    """The leader's memory. The functions of this package change it, only within `Leader.handle`."""

    def __init__(self, *, term: int, leader_id: str, settings: Settings, known_workers: set[str], now: float) -> None:
        self.term = term
        self.leader_id = leader_id
        self.settings = settings
        self.jobs: dict[int, Job] = {}
        self.tasks = Tasks()
        self.builds = Builds()
        self.scheduler = Scheduler()
        self.leases = Leases(lease_s=settings.lease_s, heartbeat_s=settings.heartbeat_s)
        self.takeover = Takeover(known_workers, deadline=now + settings.lease_s)
        self.attempt_ids = AttemptIds(term)
        self.counters = Counters()
        self.unclaimed: dict[TaskId, tuple[str, Held]] = {}  # builds held from before, whose rows are being opened
        self.pending: dict[int, Pending] = {}
        self.commands: list[Command] = []
        self._tokens = 0

    def hello(self) -> Hello:
        """What a worker must hear before it belongs to this leader."""
        return Hello(
            term=self.term,
            leader_id=self.leader_id,
            lease_s=self.settings.lease_s,
            heartbeat_s=self.settings.heartbeat_s,
        )

    def send(self, worker_id: str, message: Message) -> None:
        """Say something to one worker."""
        self.commands.append(ToWorker(worker_id, message))

    def broadcast(self, message: Message) -> None:
        """Say something to every worker."""
        self.commands.append(ToAll(message))

    def changed(self, job_id: int) -> None:
        """What is shown of a job changed."""
        self.commands.append(Changed(job_id))

    def write(
        self,
        body: Body,
        *,
        acks: list[tuple[str, int]] | None = None,
        over: list[Task] | None = None,
        finished: list[int] | None = None,
    ) -> None:
        """Have `body` committed; then acknowledge `acks` (worker, attempt), drop the tasks `over` and these jobs."""
        self._tokens += 1
        write = Write(self._tokens, body)
        self.pending[write.token] = Pending(write, acks or [], over or [], finished or [])
        self.commands.append(write)

    def written(self, token: int) -> None:
        """A write is committed: tell whom it concerns."""
        pending = self.pending.pop(token)
        by_worker: dict[str, list[int]] = {}
        for worker_id, attempt in pending.acks:
            by_worker.setdefault(worker_id, []).append(attempt)
        for worker_id, attempts in by_worker.items():
            self.send(worker_id, ResultsAck(attempts=attempts, term=self.term))
        for task in pending.over:
            self.tasks.drop(task)
        for job_id in pending.finished:
            self.jobs.pop(job_id, None)
            self.commands.append(Changed(job_id, finished=True))

    def write_failed(self, token: int) -> None:
        """A write could not be done now; `retry_writes` asks for it again. Nobody has been told anything."""
        self.pending[token].failed = True

    def retry_writes(self) -> None:
        """Ask again for what failed, in order."""
        for pending in self.pending.values():
            if pending.failed:
                pending.failed = False
                self.commands.append(pending.write)

    def enqueue(self, task: Task) -> None:
        """The task waits for a worker, unless one may still hold it from before the take-over."""
        if task.withheld:
            return
        self.scheduler.handle(Enqueued(task.id, task.shape, task.priority, task.order))

    def adopt(self, task: Task, worker_id: str, held: Held, now: float) -> bool:
        """The worker was found to hold the task: it is left to it, unless its capacity went to others meanwhile."""
        if not task.shape.need.fits_in(self.scheduler.pool.free(worker_id)):
            self.send(worker_id, Cancel(term=self.term, attempt=held.attempt, reason="superseded"))
            return False
        self.scheduler.handle(Withdrawn(task.id))
        self.tasks.hold(task, attempt=held.attempt, worker_id=worker_id, assign=None, now=now)
        self.scheduler.handle(Adopted(worker_id, task.shape))
        self.counters.adopted += 1
        return True

    def task_of(self, kind: str, number: int, index: int) -> Task | None:
        """The unfinished task with this id."""
        return self.tasks.get(TaskId(kind, number, index))
