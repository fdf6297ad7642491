"""A job's way through the leader: its module is known, its tasks are queued, they start, they end."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from wasmgrid.core.job import TaskId, TaskResult
from wasmgrid.core.lifecycle import JobEvent, JobState, advance
from wasmgrid.core.outcome import Outcome
from wasmgrid.core.wire import Cancel
from wasmgrid.protocol.deadlines import QueueTimeout
from wasmgrid.protocol.events import EndedAttempt, Record
from wasmgrid.protocol.jobs import Job, grown_mb
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.events import Ended, Withdrawn
from wasmgrid.scheduling.shape import Shape


def module_known(state: State, job: Job, module_sha256: str, *, build_ms: float, now: float) -> None:
    """A build, or an earlier one, gave the job its module."""
    job.module_sha256, job.build_ms, job.reason = module_sha256, build_ms, None
    if job.spec.build_only:
        state.write(Record(finished=[job.end(JobEvent.SUCCEEDED)]), finished=[job.id])
        return
    job.state = advance(job.state, JobEvent.BUILT)
    queue_tasks(state, job, now)
    state.changed(job.id)


def queue_tasks(state: State, job: Job, now: float) -> None:
    """Every task of the job that has no result waits for a worker."""
    withheld = job.old and not state.takeover.settled
    if job.spec.queue_timeout_s is not None:
        state.deadlines.add(now + job.spec.queue_timeout_s, QueueTimeout(job.id))
    for index in range(job.task_count):
        if index in job.done or state.task_of("run", job.id, index) is not None:
            continue
        task = Task(
            id=TaskId("run", job.id, index),
            shape=_shape(state, job, index),
            priority=job.spec.priority,
            order=job.id,
            tenant=job.tenant,
            queued_at=now,
            module=job.module_sha256 or "",
            withheld=withheld,
            crashes=job.crashes.get(index, 0),
            tries=job.tries.get(index, 0),
            latest=job.latest.get(index, 0),
        )
        state.tasks.add(task)
        state.enqueue(task)


def set_back(state: State, task: Task) -> None:
    """The task waits for its job's module again; what is known of it stays with the job."""
    job, index = state.jobs[task.id.id], task.id.index
    job.crashes[index], job.tries[index], job.latest[index] = task.crashes, task.tries, task.latest
    state.schedule(Withdrawn(task.id))
    state.tasks.drop(task)


def end_unbuilt(state: State, job: Job, outcome: Outcome) -> None:
    """The job ends without its module. Workers hold tasks of it only where it had one, which was lost."""
    for task in state.tasks.held_of(job.id):
        if not task.settling and task.attempt is not None:
            state.send(task.worker_id, Cancel(term=state.term, attempt=task.attempt, reason="superseded"))
            state.schedule(Ended(task.id))
            state.tasks.drop(task)
    index = next(index for index in range(job.task_count) if index not in job.done)
    end_tasks(state, [(None, never_ran(job.id, index, outcome))])


def _shape(state: State, job: Job, index: int) -> Shape:
    """What the task needs now: tries before this leader's time are taken for such as ran out of memory."""
    tries, need = job.tries.get(index, 0), job.shape.need
    if not tries or job.spec.retry_memory is None:
        return job.shape
    memory_mb = grown_mb(need.memory_mb, job.spec.retry_memory, tries, most_mb=state.settings.memory_most_mb)
    return replace(job.shape, need=replace(need, memory_mb=memory_mb))


def started(state: State, task: Task, at: float | None) -> None:
    """A worker was heard to run the task, since `at` (seconds since 1970, that worker's clock)."""
    job = state.jobs.get(task.id.id)
    if job is None:
        return
    if job.state is JobState.QUEUED:
        job.state, job.reason = advance(job.state, JobEvent.STARTED), None
    if job.started_at is None and at:
        job.started_at = datetime.fromtimestamp(at, UTC)


def never_ran(job_id: int, index: int, outcome: Outcome, ended: EndedAttempt | None = None) -> TaskResult:
    """The result of a task that no worker brought to an end."""
    return TaskResult(
        job_id=job_id,
        index=index,
        attempt=ended.attempt if ended else 0,
        worker_id=ended.worker_id if ended else "",
        outcome=outcome,
    )


def end_tasks(
    state: State,
    results: list[tuple[Task | None, TaskResult]],
    *,
    ended: list[EndedAttempt] | None = None,
    acks: list[tuple[str, int]] | None = None,
) -> None:
    """Commit these results, with the ends of the jobs whose last ones they are."""
    finished = []
    for task, result in results:
        if task is not None:
            task.settling = True
        job = state.jobs[result.job_id]
        end = job.settle(result, unbuilt=task is None)
        if end is not None and job.writing:
            job.ending = end
        elif end is not None:
            finished.append(end)
    for job_id in dict.fromkeys(result.job_id for _, result in results):
        state.jobs[job_id].writing += 1
    record = Record(results=[result for _, result in results], ended=ended or [], finished=finished)
    over = [task for task, _ in results if task is not None]
    state.write(record, acks=acks, over=over, finished=[end.job_id for end in finished])
