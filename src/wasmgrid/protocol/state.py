"""All that a leader remembers, derived from the store and the workers' inventories; and the commands it gathers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from wasmgrid.core.job import TaskId
from wasmgrid.core.limits import WASM32_MEMORY_MB
from wasmgrid.core.wire import Held, Hello, Message, ResultsAck
from wasmgrid.protocol.builds import Builds
from wasmgrid.protocol.chunks import Chunk, Chunks
from wasmgrid.protocol.deadlines import Deadlines
from wasmgrid.protocol.events import Body, Changed, Command, Record, SaveWorker, ToAll, ToWorker, Write
from wasmgrid.protocol.fencing import AttemptIds
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.leases import Lease, Leases
from wasmgrid.protocol.takeover import Takeover
from wasmgrid.scheduling.events import Chunked, SchedulingEvent, WorkerJoined
from wasmgrid.scheduling.scheduler import Policy, Scheduler


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a silent worker keeps its tasks, how often it must speak, and how many crashes a task may cause.

    A user's retries come after `retry_first_s`, doubled each time up to `retry_most_s`; `memory_most_mb` bounds what
    `retry_memory` makes of a request. A worker is quarantined once `quarantine_after` tasks that failed there succeeded
    elsewhere. `policy` is best_fit or spread, `weights` the shares of tenants (1 where none is given).
    """

    lease_s: float = 10.0
    heartbeat_s: float = 1.0
    crash_limit: int = 3
    retry_first_s: float = 1.0
    retry_most_s: float = 60.0
    memory_most_mb: int = WASM32_MEMORY_MB
    quarantine_after: int = 3
    policy: Policy = "best_fit"
    weights: dict[str, float] = {}


HOLDING = frozenset({"joined", "draining"})  # the states of a worker's row in which it may hold tasks


class Counters(msgspec.Struct, kw_only=True):
    """What happened since this leader took over; shown, never decided upon."""

    placements: int = 0
    results: int = 0
    stale_results: int = 0
    leases_lost: int = 0
    adopted: int = 0
    requeued: int = 0
    retries: int = 0
    crashes: int = 0
    refused: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Ack:
    """A worker may forget what it told of these tasks of an attempt. `whole`: there are no others."""

    worker_id: str
    attempt: int
    first: int = 0
    count: int = 1
    whole: bool = True


@dataclass(slots=True)
class Pending:
    """A write on its way: what to tell whom once it is committed."""

    write: Write
    acks: list[Ack] = field(default_factory=list)
    settled: list[tuple[Chunk, list[int]]] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    then: Callable[[float], None] | None = None
    failed: bool = False


class State:
    """The leader's memory. The functions of this package change it, only within `Leader.handle`."""

    def __init__(
        self,
        *,
        term: int,
        leader_id: str,
        settings: Settings,
        known_workers: set[str],
        holds: Mapping[str, tuple[str, str]],
        now: float,
    ) -> None:
        self.now = now
        self.term = term
        self.leader_id = leader_id
        self.settings = settings
        self.jobs: dict[int, Job] = {}
        self.chunks = Chunks()
        self.builds = Builds()
        self.scheduler = Scheduler(policy=settings.policy, weights=settings.weights)
        self.deadlines = Deadlines()
        self.holds = dict(holds)
        self.leases = Leases(lease_s=settings.lease_s, heartbeat_s=settings.heartbeat_s)
        self.saved_workers = set(known_workers)  # a new leader would know of these: only they may be given tasks
        self.takeover = Takeover(known_workers, now=now, lease_s=settings.lease_s, nap_s=2 * settings.heartbeat_s)
        self.attempt_ids = AttemptIds(term)
        self.assigned = 0  # how often a task was given to a worker: the order of a term's assignments
        self.largest_mb = 0  # the memory of the largest worker that this leader has met
        self.counters = Counters()
        self.strangers: dict[int, float] = {}  # attempts of earlier terms, of no task that is known: since when
        self.unclaimed: dict[TaskId, tuple[str, Held]] = {}  # builds held from before, whose rows are being opened
        self.pending: dict[int, Pending] = {}
        self.unanswered: set[tuple[int, int]] = set()  # (attempt, index) that are answered once a write is committed
        self.giving_up: set[int] = set()  # jobs of which the store has more failed tasks than may
        self.commands: list[Command] = []
        self._tokens = 0
        self._last_saves: dict[str, int] = {}  # by worker id, the token of the newest write of its row

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
        acks: list[Ack] | None = None,
        settled: list[tuple[Chunk, list[int]]] | None = None,
        finished: list[int] | None = None,
        then: Callable[[float], None] | None = None,
    ) -> None:
        """Have `body` committed; then acknowledge `acks`, and be done with the tasks `settled` and these jobs."""
        self._tokens += 1
        write = Write(self._tokens, body)
        self.pending[write.token] = Pending(write, acks or [], settled or [], finished or [], then)
        self.commands.append(write)

    def written(self, token: int) -> None:
        """A write is committed: tell whom it concerns."""
        pending = self.pending.pop(token)
        self.acknowledge(pending.acks)
        for chunk, indexes in pending.settled:
            chunk.settling.difference_update(indexes)
            if chunk.over:
                self.chunks.drop(chunk)
        if pending.then is not None:
            pending.then(self.now)
        match pending.write.body:
            case Record() as record:
                self._results_written(record)
            case SaveWorker(info=info, state=state):
                self._worker_written(info.id, state)
        for job_id in pending.finished:
            self.forget_job(job_id)
            self.commands.append(Changed(job_id, finished=True))

    def forget_job(self, job_id: int) -> None:
        """Its end is committed."""
        job = self.jobs.pop(job_id, None)
        if job is not None and job.chunk > 1:
            self.schedule(Chunked(TaskId("run", job_id), 1))

    def acknowledge(self, acks: Iterable[Ack]) -> None:
        """Tell workers what they may forget."""
        told: dict[str, tuple[list[int], list[tuple[int, int, int]]]] = {}
        for ack in acks:
            self.unanswered.discard((ack.attempt, ack.first))
            attempts, parts = told.setdefault(ack.worker_id, ([], []))
            if ack.whole:
                attempts.append(ack.attempt)
            else:
                parts.append((ack.attempt, ack.first, ack.count))
        for worker_id, (attempts, parts) in told.items():
            self.send(worker_id, ResultsAck(attempts=attempts, term=self.term, parts=parts))

    def _results_written(self, record: Record) -> None:
        """A job whose last results were written apart is finished once all of them are there, whatever their order."""
        for job_id in record.jobs():
            job = self.jobs.get(job_id)
            if job is None:
                continue
            job.writing -= 1
            if job.spec.max_fails is not None:
                job.kept_failures += record.failures(job_id)
                if job.must_give_up:
                    self.giving_up.add(job_id)
            if job.ending is not None and not job.writing:
                ending, job.ending = job.ending, None
                self.write(Record(finished=[ending]), finished=[job_id])

    def _worker_written(self, worker_id: str, state: str) -> None:
        """From now on a new leader would wait for this worker, so it may hold tasks."""
        lease = self.leases.get(worker_id)
        if lease is not None and state in HOLDING and worker_id not in self.saved_workers:
            self.saved_workers.add(worker_id)
            self.offer(lease)

    def write_failed(self, token: int) -> None:
        """A write could not be done now; `retry_writes` asks for it again. Nobody has been told anything."""
        self.pending[token].failed = True

    def retry_writes(self) -> None:
        """Ask again for what failed, in order. A worker's row that was written anew since is left as it is now."""
        for token, pending in list(self.pending.items()):
            if not pending.failed:
                continue
            body = pending.write.body
            if isinstance(body, SaveWorker) and self._last_saves[body.info.id] != token:
                del self.pending[token]
                continue
            pending.failed = False
            self.commands.append(pending.write)

    def schedule(self, event: SchedulingEvent) -> None:
        """Tell the scheduler."""
        self.scheduler.handle(event, self.now)

    def offer(self, lease: Lease, modules: tuple[str, ...] | None = None) -> None:
        """The scheduler may, or may no longer, give tasks to this worker. `modules` where it told what it has."""
        closed = lease.closed or ("" if lease.info.id in self.saved_workers else "its joining is being written")
        self.schedule(WorkerJoined(lease.info, closed=closed, ends_at=lease.ends_at, modules=modules))

    def save(self, lease: Lease, state: str) -> None:
        """Keep what is to be known of the worker after this leader."""
        if state not in HOLDING:
            self.saved_workers.discard(lease.info.id)
        self.write(SaveWorker(info=lease.info, state=state, hold=lease.hold, note=lease.note))
        self._last_saves[lease.info.id] = self._tokens
