"""What clients ask for, once it is in the store: that a job runs, that it ends."""

from __future__ import annotations

from wasmgrid.core.job import TaskResult
from wasmgrid.core.lifecycle import JobEvent, JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import Cancel
from wasmgrid.protocol import buildlife, joblife
from wasmgrid.protocol.events import JobArrived, Record
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.scheduler import Withdrawn


def arrive(state: State, event: JobArrived, now: float) -> None:
    """An unfinished job of the store; one that is known already only hears of its cancellation."""
    job = state.jobs.get(event.job_id)
    if job is None:
        job = state.jobs[event.job_id] = Job.of(event)
        if job.module_sha256 and job.spec.build_only:
            state.write(Record(finished=[job.end(JobEvent.SUCCEEDED)]), finished=[job.id])
        elif job.module_sha256:
            joblife.queue_tasks(state, job, now)
        else:
            buildlife.resolve(state, job, now)
    if event.cancel_requested:
        cancel(state, job)


def cancel(state: State, job: Job) -> None:
    """The job is to end: what waits ends at once, what runs is told to stop, what has ended stays as it is."""
    if job.cancelling or job.finished:
        return
    job.cancelling = True
    outcome = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled before it ran")
    if job.state is JobState.BUILDING:
        buildlife.abandon(state, job)
        joblife.end_tasks(state, [(None, joblife.never_ran(job.id, 0, outcome))])
        return
    waiting: list[tuple[Task | None, TaskResult]] = []
    for index in range(job.task_count):
        task = state.task_of("run", job.id, index)
        if task is None or task.settling or task.withheld:
            continue
        if task.attempt is None:
            state.scheduler.handle(Withdrawn(task.id))
            waiting.append((task, joblife.never_ran(job.id, index, outcome)))
        else:
            state.send(task.worker_id, Cancel(term=state.term, attempt=task.attempt, reason="cancelled on request"))
    if waiting:
        joblife.end_tasks(state, waiting)
    state.changed(job.id)
