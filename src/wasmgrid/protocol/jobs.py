"""What the leader remembers of unfinished jobs, and when one is finished."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime

from wasmgrid.core.job import StoredSpec, TaskResult
from wasmgrid.core.lifecycle import FINISHED, JobEvent, JobState, advance
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.protocol.events import FinishedJob, JobArrived
from wasmgrid.scheduling.shape import Shape, run_shape


@dataclass(slots=True)
class Job:
    """An unfinished job. `done` are the indexes whose results are committed or on their way into the store.

    `shown_state` is the state before its end, for as long as that end is not committed. `stopping` is how its tasks are
    to end, once it was cancelled or its time is over.
    """

    id: int
    tenant: str
    spec: StoredSpec
    task_count: int
    old: bool
    shape: Shape
    limits: Limits
    module_sha256: str | None
    state: JobState
    shown_state: JobState
    reason: str | None = None
    started_at: datetime | None = None
    build_ms: float | None = None
    build_id: int | None = None
    build_cached: bool | None = None
    rebuilt_after: int = 0  # attempts up to this one had a module that was lost; 0: none was
    stopping: Outcome | None = None
    cancelled: bool = False
    failed: bool = False
    writing: int = 0  # records with results of it that are on their way into the store
    ending: FinishedJob | None = None  # its end, which waits for these
    done: set[int] = field(default_factory=set)
    crashes: dict[int, int] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, event: JobArrived) -> Job:
        """The job as it arrives."""
        state = JobState.QUEUED if event.module_sha256 else JobState.BUILDING
        return cls(
            id=event.job_id,
            tenant=event.tenant,
            spec=event.spec,
            task_count=event.task_count,
            old=event.old,
            shape=run_shape(event.spec),
            limits=event.spec.limits,
            module_sha256=event.module_sha256,
            state=state,
            shown_state=state,
            done=set(event.done),
            crashes=dict(event.crashes),
            tries=dict(event.tries),
            latest=dict(event.latest),
            failed=event.failed,
            cancelled=event.cancelled,
        )

    @property
    def finished(self) -> bool:
        """Whether its end is committed or on its way into the store."""
        return self.state in FINISHED

    def settle(self, result: TaskResult, *, unbuilt: bool = False) -> FinishedJob | None:
        """Note a task's result; what to write where it was the last one, or the job ends without its module."""
        self.done.add(result.index)
        kind = result.outcome.kind
        self.cancelled |= kind is OutcomeKind.CANCELLED
        self.failed |= not result.outcome.succeeded
        if unbuilt:
            event = JobEvent.CANCELLED if self.cancelled else JobEvent.BUILD_FAILED
            return self.end(event, result.outcome.message or "")
        if len(self.done) < self.task_count:
            return None
        return self.end_by_tasks(result.outcome.message or "")

    def end_by_tasks(self, message: str = "") -> FinishedJob:
        """Every task has its result: the job is over, as these make it."""
        if self.cancelled:
            return self.end(JobEvent.CANCELLED, message)
        return self.end(JobEvent.FAILED if self.failed else JobEvent.SUCCEEDED, message)

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
