"""What happens by time alone: a job waited too long, or took too long in all; a failed task has rested."""

from __future__ import annotations

from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.protocol import requests, views, waiting
from wasmgrid.protocol.deadlines import QueueTimeout, RetryDue, TotalTimeout
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State

LOOK_AGAIN_S = 1.0


def come(state: State, now: float) -> None:
    """Do what is due."""
    for deadline in state.deadlines.due(now):
        match deadline:
            case QueueTimeout(job_id):
                job = state.jobs.get(job_id)
                if job is not None:
                    _queued_too_long(state, job, now)
            case TotalTimeout(job_id):
                job = state.jobs.get(job_id)
                if job is not None:
                    message = f"not finished {job.spec.total_timeout_s:g} s after its submission (total_timeout_s)"
                    requests.stop(state, job, Outcome(kind=OutcomeKind.TIMED_OUT, message=message))
            case RetryDue(task_id):
                job = state.jobs.get(task_id.id)
                if job is not None and task_id.index in job.resting:
                    _try_again(state, job, task_id.index)


def _queued_too_long(state: State, job: Job, now: float) -> None:
    """End the job where none of its tasks ever started; where one may run unreported, ask again when that is known."""
    if job.state is not JobState.QUEUED or job.started_at is not None or state.chunks.of("run", job.id):
        return
    if job.old and not state.takeover.settled:
        state.deadlines.add(now + LOOK_AGAIN_S, QueueTimeout(job.id))
        return
    answer = views.why(state, job.id, most=views.COMPARED_WORKERS)
    reason = f": {answer.reason}" if answer else ""
    message = f"it waited {job.spec.queue_timeout_s:g} s without a start (queue_timeout_s){reason}"
    requests.stop(state, job, Outcome(kind=OutcomeKind.TIMED_OUT, message=message))


def _try_again(state: State, job: Job, index: int) -> None:
    job.resting.discard(index)
    job.known(index).queued_at = state.now
    job.reason = None
    if index not in job.withheld:
        waiting.release(state, job, [(index, 1)])
    state.changed(job.id)
