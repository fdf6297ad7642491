"""What clients ask for, once it is in the store: that a job runs, that it ends."""

from __future__ import annotations

from wasmgrid.core.lifecycle import JobEvent, JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import Cancel
from wasmgrid.protocol import buildlife, joblife, waiting
from wasmgrid.protocol.deadlines import TotalTimeout
from wasmgrid.protocol.events import JobArrived, Record
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State

CANCELLED = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request")


def arrive(state: State, event: JobArrived, now: float) -> None:
    """An unfinished job of the store; one that is known already only hears of its cancellation."""
    job = state.jobs.get(event.job_id)
    if job is None:
        job = state.jobs[event.job_id] = Job.of(event)
        if job.spec.total_timeout_s is not None:
            state.deadlines.add(now + job.spec.total_timeout_s - event.age_s, TotalTimeout(job.id))
        if job.module_sha256 and job.spec.build_only:
            state.write(Record(finished=[job.end(JobEvent.SUCCEEDED)]), finished=[job.id])
        elif len(job.done) == job.task_count:  # the former leader wrote the last result, and then no more
            state.write(Record(finished=[job.end_by_tasks()]), finished=[job.id])
        elif job.module_sha256:
            joblife.queue_tasks(state, job, now)
        else:
            buildlife.resolve(state, job)
        if job.must_give_up:
            state.giving_up.add(job.id)
    if event.cancel_requested:
        stop(state, job, CANCELLED)


def give_up(state: State) -> None:
    """End what failed too often."""
    while state.giving_up:
        job = state.jobs.get(state.giving_up.pop())
        if job is not None:
            message = f"more than {job.spec.max_fails} tasks failed (max_fails)"
            stop(state, job, Outcome(kind=OutcomeKind.CANCELLED, message=message))


def stop(state: State, job: Job, outcome: Outcome) -> None:
    """The job is to end so: what waits ends at once, what runs is told to stop, what has ended stays as it is."""
    if job.stopping is not None or job.finished:
        return
    job.stopping = outcome
    told = outcome.message or ""
    if outcome.kind is OutcomeKind.CANCELLED and outcome == CANCELLED:
        outcome = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled before it ran")
    if job.state is JobState.BUILDING:
        buildlife.abandon(state, job)
        joblife.end_unbuilt(state, job, outcome)
        return
    free = waiting.of(state, job)
    for index in job.resting:
        if index not in job.withheld:
            free.add(index)
    job.resting.clear()
    waiting.withdraw(state, job, free.runs())
    for chunk in state.chunks.of("run", job.id):
        if chunk.left:
            state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason=told))
    joblife.end_waiting(state, job, free.runs(), outcome)
    state.changed(job.id)
