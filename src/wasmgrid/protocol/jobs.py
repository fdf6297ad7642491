"""What the leader remembers of unfinished jobs, and when one is finished.

A task that waits and has no history is not an object: it is an index that is neither done, nor held, nor kept back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import FINISHED, JobEvent, JobState, advance
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.protocol.events import FinishedJob, JobArrived
from wasmgrid.protocol.history import History
from wasmgrid.scheduling.shape import Shape, run_shape

PACE_WEIGHT = 0.3  # of the newest measurement


@dataclass(slots=True, eq=False)
class Job:
    """An unfinished job. `done` are the indexes whose results are committed or on their way into the store.

    `failures` counts those of them that failed, `kept_failures` those that the store has. Kept back from the scheduler
    are the `withheld` (a worker may hold them from before the take-over), the `resting` (they wait for the moment of
    their retry) and the `gated` (as many run as may at once, or nothing more is to start). `over` are (first, count,
    attempt): attempts of earlier terms that ended without a result for these tasks; `came_back` are the tasks of which
    one of this term did.
    `shown_state` is the state before its end, for as long as that end is not committed. `stopping` is how its tasks are
    to end, once it was cancelled or its time is over. `pace_s` is what one task takes (0: not known), `chunk` how many
    travel together; for the next `careful` ones that is one.
    """

    id: int
    tenant: str
    spec: StoredSpec
    old: bool
    shape: Shape
    limits: Limits
    module_sha256: str | None
    state: JobState
    shown_state: JobState
    indexes: Ranges
    done: Ranges
    reason: str | None = None
    queued_at: float = 0.0
    started_at: datetime | None = None
    build_ms: float | None = None
    build_id: int | None = None
    build_cached: bool | None = None
    rebuilt_after: int = 0  # attempts up to this one had a module that was lost; 0: none was
    stopping: Outcome | None = None
    failures: int = 0
    kept_failures: int = 0
    cancellations: int = 0
    writing: int = 0  # records with results of it that are on their way into the store
    ending: FinishedJob | None = None  # its end, which waits for these
    withheld: Ranges = field(default_factory=Ranges)
    resting: set[int] = field(default_factory=set)
    gated: Ranges = field(default_factory=Ranges)
    enqueued: int = 0  # with a bound on concurrency: tasks that the scheduler may place
    history: dict[int, History] = field(default_factory=dict)
    over: list[tuple[int, int, int]] = field(default_factory=list)
    came_back: Ranges = field(default_factory=Ranges)
    pace_s: float = 0.0
    chunk: int = 1
    careful: int = 0

    @classmethod
    def of(cls, event: JobArrived) -> Job:
        """The job as it arrives."""
        state = JobState.QUEUED if event.module_sha256 else JobState.BUILDING
        job = cls(
            id=event.job_id,
            tenant=event.tenant,
            spec=event.spec,
            old=event.old,
            shape=run_shape(event.spec),
            limits=event.spec.limits,
            module_sha256=event.module_sha256,
            state=state,
            shown_state=state,
            indexes=Ranges(event.spec.indexes),
            done=Ranges(event.done),
            failures=event.failures,
            kept_failures=event.failures,
            cancellations=event.cancellations,
            over=list(event.latest),
        )
        for index, crashes in event.crashes.items():
            job.known(index).crashes = crashes
        for index, tries in event.tries.items():
            job.known(index).tries = tries
        return job

    @property
    def task_count(self) -> int:
        """How many tasks it has."""
        return len(self.indexes)

    @property
    def finished(self) -> bool:
        """Whether its end is committed or on its way into the store."""
        return self.state in FINISHED

    @property
    def gave_up(self) -> bool:
        """Whether more tasks failed than may."""
        return self.spec.max_fails is not None and self.failures > self.spec.max_fails

    @property
    def must_give_up(self) -> bool:
        """Whether the rest of it is to end for that: once any later leader would find the same in the store."""
        return self.gave_up and self.kept_failures > (self.spec.max_fails or 0) and self.stopping is None

    @property
    def had_module(self) -> bool:
        """Whether workers may hold tasks of it: it has its module, or had it until the store lost that."""
        return self.module_sha256 is not None or self.rebuilt_after > 0

    def has(self, index: int) -> bool:
        """Whether it has such a task, without a result."""
        return index in self.indexes and index not in self.done

    def known(self, index: int) -> History:
        """The task's history, to be written to."""
        found = self.history.get(index)
        if found is None:
            found = self.history[index] = History()
        return found

    def is_past(self, index: int, attempt: int) -> bool:
        """Whether an attempt of an earlier term counts no more here: it, or a later one, ended without a result."""
        return index in self.came_back or any(
            first <= index < first + count and over >= attempt for first, count, over in self.over
        )

    def start(self, at: float | None) -> None:
        """A worker was heard to run a task of it, since `at` (seconds since 1970, that worker's clock)."""
        if self.state is JobState.QUEUED:
            self.state, self.reason = advance(self.state, JobEvent.STARTED), None
        if self.started_at is None and at:
            self.started_at = datetime.fromtimestamp(at, UTC)

    def took(self, seconds: float, tasks: int) -> None:
        """So many tasks took so long together."""
        self.careful = max(0, self.careful - tasks)
        each = seconds / tasks
        weight = PACE_WEIGHT if self.pace_s else 1.0
        self.pace_s += weight * (each - self.pace_s)

    def settle(self, runs: Sequence[Run], outcome: Outcome) -> None:
        """Note the results of these tasks, which all ended so."""
        count = sum(self.done.add(*run) for run in runs)
        for run in runs if self.withheld else ():
            self.withheld.discard(*run)
        if outcome.kind is OutcomeKind.CANCELLED:
            self.cancellations += count
        elif outcome.failed:
            self.failures += count

    def end_by_tasks(self, message: str = "") -> FinishedJob:
        """Every task has its result: the job is over, as these make it."""
        if self.cancellations and not self.gave_up:
            return self.end(JobEvent.CANCELLED, message)
        failed = self.failures or self.cancellations
        return self.end(JobEvent.FAILED if failed else JobEvent.SUCCEEDED, message)

    def end(self, event: JobEvent, message: str = "") -> FinishedJob:
        """The job is over; what to write of it."""
        self.shown_state, self.state = self.state, advance(self.state, event)
        return FinishedJob(
            job_id=self.id,
            state=self.state,
            message=message,
            started_at=self.started_at,
            build_id=self.build_id,
            build_cached=self.build_cached,
        )


def grown_mb(memory_mb: int, factor: float | None, times: int, *, most_mb: int) -> int:
    """What `retry_memory` makes of a request after so many tries; never less than it was."""
    return max(memory_mb, min(math.ceil(memory_mb * (factor or 1.0) ** times), most_mb))
