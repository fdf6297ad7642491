"""What clients ask for, once it is in the store: that a job runs, that it ends."""

from __future__ import annotations

from wasmgrid.core.job import TaskResult
from wasmgrid.core.lifecycle import JobEvent, JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import Cancel
from wasmgrid.protocol import buildlife, joblife
from wasmgrid.protocol.deadlines import TotalTimeout
from wasmgrid.protocol.events import JobArrived, Record
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.events import Withdrawn

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
    if event.cancel_requested:
        stop(state, job, CANCELLED)


def stop(state: State, job: Job, outcome: Outcome) -> None:
    """The job is to end so: what waits ends at once, what runs is told to stop, what has ended stays as it is."""
    if job.stopping is not None or job.finished:
        return
    job.stopping = outcome
    told = outcome.message or ""
    if outcome.kind is OutcomeKind.CANCELLED:
        outcome = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled before it ran")
    if job.state is JobState.BUILDING:
        buildlife.abandon(state, job)
        joblife.end_unbuilt(state, job, outcome)
        return
    waiting: list[tuple[Task | None, TaskResult]] = []
    for index in range(job.task_count):
        task = state.task_of("run", job.id, index)
        if task is None or task.settling or task.withheld:
            continue
        if task.attempt is None:
            task.resting = False
            state.schedule(Withdrawn(task.id))
            waiting.append((task, joblife.never_ran(job.id, index, outcome)))
        else:
            state.send(task.worker_id, Cancel(term=state.term, attempt=task.attempt, reason=told))
    if waiting:
        joblife.end_tasks(state, waiting)
    state.changed(job.id)
