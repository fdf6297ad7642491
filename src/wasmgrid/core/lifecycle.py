"""The states of a job, and the one table through which they move."""

from __future__ import annotations

from enum import StrEnum

from wasmgrid.core.errors import InvalidTransition


class JobState(StrEnum):
    """building -> queued -> running -> succeeded | failed | cancelled."""

    BUILDING = "building"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class JobEvent(StrEnum):
    """What can happen to a job."""

    BUILT = "built"  # its module is known
    BUILD_FAILED = "build_failed"  # the toolchain refused the source, or there is none
    MODULE_LOST = "module_lost"  # its module's blob is gone or damaged: its source is built again
    STARTED = "started"  # a worker holds one of its tasks
    REQUEUED = "requeued"  # the last held attempt was lost or will be retried
    SUCCEEDED = "succeeded"  # every task exited 0
    FAILED = "failed"  # every task has its result, not all exited 0
    CANCELLED = "cancelled"


TRANSITIONS: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.BUILDING, JobEvent.BUILT): JobState.QUEUED,
    (JobState.BUILDING, JobEvent.BUILD_FAILED): JobState.FAILED,
    (JobState.BUILDING, JobEvent.SUCCEEDED): JobState.SUCCEEDED,  # build_only: the module is what was wanted
    (JobState.BUILDING, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.QUEUED, JobEvent.MODULE_LOST): JobState.BUILDING,
    (JobState.RUNNING, JobEvent.MODULE_LOST): JobState.BUILDING,
    (JobState.QUEUED, JobEvent.STARTED): JobState.RUNNING,
    (JobState.QUEUED, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.QUEUED, JobEvent.FAILED): JobState.FAILED,  # refused before it ran: rejected, or lost at the crash limit
    (JobState.RUNNING, JobEvent.REQUEUED): JobState.QUEUED,
    (JobState.RUNNING, JobEvent.STARTED): JobState.RUNNING,  # another of its tasks
    (JobState.RUNNING, JobEvent.SUCCEEDED): JobState.SUCCEEDED,
    (JobState.RUNNING, JobEvent.FAILED): JobState.FAILED,
    (JobState.RUNNING, JobEvent.CANCELLED): JobState.CANCELLED,
    # A result that a worker kept while no server lived may come in before its attempt was adopted.
    (JobState.QUEUED, JobEvent.SUCCEEDED): JobState.SUCCEEDED,
}


def advance(state: JobState, event: JobEvent) -> JobState:
    """The state after `event`; raises `InvalidTransition` where the table has none."""
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise InvalidTransition(f"a job that is {state} cannot become {event}")
    return after
