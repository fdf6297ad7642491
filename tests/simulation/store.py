"""What survives everything: the leadership row, jobs, results, attempts, builds and workers. It keeps its own clock.

It promises what `store/` promises: one transaction at a time, refused (`Superseded`) unless the term is the row's own;
a result is inserted once. What no leader may ever try is a violation here, not a silent conflict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.simulation.engine import Clock, Engine, Violation

from wasmgrid.core.errors import Superseded
from wasmgrid.core.job import SourceRef, StoredSpec, TaskId, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import Ranges
from wasmgrid.protocol import events


@dataclass
class JobRow:
    """A job as it is kept."""

    id: int
    tenant: str
    spec: StoredSpec
    task_count: int
    submitted_at: float
    indexes: Ranges
    module: str | None = None
    cancel_requested: bool = False
    state: JobState | None = None  # once it is finished
    finished_at: float = 0.0  # true time, for the checks
    done: Ranges = field(default_factory=Ranges)
    failures: int = 0
    cancellations: int = 0
    ended: list[events.EndedAttempt] = field(default_factory=list)

    @property
    def gave_up(self) -> bool:
        """Whether more of its tasks failed than may."""
        return self.spec.max_fails is not None and self.failures > self.spec.max_fails


@dataclass
class Leadership:
    """Who leads, since when it was last renewed, and whether it was given up."""

    term: int = 0
    server_id: str = ""
    renewed_at: float = 0.0
    released: bool = False


@dataclass
class BuildRow:
    """A build by its key: pending until it has a module, or a failure of its source."""

    id: int
    state: str = "pending"
    module: str | None = None


@dataclass
class WorkerRow:
    """What was last written of a worker."""

    state: str
    hold: str = ""
    note: str = ""


@dataclass
class Tables:
    """The rows."""

    jobs: dict[int, JobRow] = field(default_factory=dict)
    open: dict[int, JobRow] = field(default_factory=dict)
    results: dict[TaskId, TaskResult] = field(default_factory=dict)
    ended: dict[TaskId, dict[int, events.EndedAttempt]] = field(default_factory=lambda: defaultdict(dict))
    builds: dict[str, BuildRow] = field(default_factory=dict)
    workers: dict[str, WorkerRow] = field(default_factory=dict)


class Store:
    """The tables with the rules of writing them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = Clock(engine)
        self.rows = Tables()
        self.leadership = Leadership()

    # ---- leadership

    def try_lead(self, server_id: str, stale_s: float) -> int | None:
        """Take the row where nobody has it, it was given up, or it was not renewed for `stale_s`."""
        row, now = self.leadership, self.clock.now()
        if row.term and not row.released and now - row.renewed_at < stale_s:
            return None
        self.leadership = Leadership(row.term + 1, server_id, now)
        return row.term + 1

    def renew(self, term: int) -> None:
        """Still there; raises `Superseded`."""
        self._check_term(term)
        self.leadership.renewed_at = self.clock.now()

    def release(self, term: int) -> None:
        """Whoever wants to may lead now."""
        self._check_term(term)
        self.leadership.released = True

    def _check_term(self, term: int) -> None:
        if self.leadership.term != term or self.leadership.released:
            raise Superseded(f"term {term} is over: {self.leadership}")

    # ---- clients

    def submit(self, job_id: int, tenant: str, spec: StoredSpec, task_count: int) -> None:
        """A job is kept."""
        row = JobRow(job_id, tenant, spec, task_count, self.clock.now(), Ranges(spec.indexes))
        if spec.source is None:
            row.module = spec.module_sha256
        self.rows.jobs[job_id] = self.rows.open[job_id] = row

    def ask_cancel(self, job_id: int) -> None:
        """The wish is kept."""
        self.rows.jobs[job_id].cancel_requested = True

    # ---- leaders read

    def unfinished(self) -> list[JobRow]:
        """The jobs that have not ended, oldest first."""
        return list(self.rows.open.values())

    def arrival(self, row: JobRow, *, old: bool) -> events.JobArrived:
        """The row as a leader takes it up."""
        crashes = Counter(one.task.index for one in row.ended if one.crashed)
        tries = Counter(one.task.index for one in row.ended if one.retried)
        return events.JobArrived(
            job_id=row.id,
            tenant=row.tenant,
            spec=row.spec,
            module_sha256=row.module,
            cancel_requested=row.cancel_requested,
            old=old,
            age_s=self.clock.now() - row.submitted_at,
            done=row.done.runs(),
            failures=row.failures,
            cancellations=row.cancellations,
            crashes=dict(crashes),
            tries=dict(tries),
            latest=[(one.task.index, one.count, one.attempt) for one in row.ended],
        )

    # ---- leaders write

    def write(self, term: int, body: events.Body) -> None:
        """One transaction; raises `Superseded`."""
        self._check_term(term)
        match body:
            case events.Record():
                self._record(term, body)
            case events.FinishBuild(result=result):
                build = next(row for row in self.rows.builds.values() if row.id == result.build_id)
                if result.outcome.succeeded and result.module_sha256:
                    build.state, build.module = "done", result.module_sha256
                elif result.outcome.kind is OutcomeKind.BUILD_FAILED:
                    build.state = "failed"
            case events.AssignModule():
                for job_id in body.job_ids:
                    self.rows.jobs[job_id].module = body.module_sha256
            case events.SaveWorker():
                self.rows.workers[body.info.id] = WorkerRow(body.state, body.hold, body.note)

    def _record(self, term: int, body: events.Record) -> None:
        rows = self.rows
        for result in body.results:
            self._keep(term, TaskId("run", result.job_id, result.index), result)
        for block in body.ranges:
            for result in block.results():
                self._keep(term, TaskId("run", result.job_id, result.index), result)
        for ended in body.ended:
            self._note_end(ended)
        for finished in body.finished:
            row = rows.jobs[finished.job_id]
            if row.state is not None and row.state is not finished.state:
                raise Violation(f"job {row.id} is {row.state}, and term {term} calls it {finished.state}")
            missing = row.task_count - len(row.done)
            is_unbuilt = row.spec.source is not None and finished.state is not JobState.SUCCEEDED
            ended_early = row.spec.build_only or is_unbuilt
            if missing and not ended_early:
                raise Violation(f"job {row.id} is called {finished.state} without the results of {missing} tasks")
            if row.state is None:
                row.state, row.finished_at = finished.state, self.engine.now
                rows.open.pop(row.id, None)

    def _keep(self, term: int, task: TaskId, result: TaskResult) -> None:
        rows = self.rows
        known = rows.results.get(task)
        if known is not None:
            if known != result:
                raise Violation(f"{task} has the result {known}, and term {term} writes {result}")
            return
        rows.results[task] = result
        row = rows.jobs[task.id]
        if task.index not in row.indexes:
            raise Violation(f"{task} has a result, and its job has no such task")
        row.done.add(task.index)
        row.cancellations += result.outcome.kind is OutcomeKind.CANCELLED
        row.failures += result.outcome.failed

    def _note_end(self, ended: events.EndedAttempt) -> None:
        tasks = [TaskId(ended.task.kind, ended.task.id, ended.task.index + more) for more in range(ended.count)]
        if ended.attempt in self.rows.ended[tasks[0]]:
            return
        for task in tasks:
            self.rows.ended[task][ended.attempt] = ended
        if ended.task.kind == "run":
            self.rows.jobs[ended.task.id].ended.append(ended)

    def open_build(self, term: int, command: events.OpenBuild) -> BuildRow:
        """The row of a build key, made where there is none; raises `Superseded`."""
        self._check_term(term)
        return self.rows.builds.setdefault(command.build_key, BuildRow(len(self.rows.builds) + 1))


def source(number: int) -> SourceRef:
    """A source as it is kept; equal numbers are equal sources."""
    return SourceRef(sha256=f"{number:064x}", language="rust", entry="main.rs")
