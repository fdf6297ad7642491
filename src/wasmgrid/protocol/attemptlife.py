"""What becomes of a task whose attempt ended without ending it."""

from __future__ import annotations

from wasmgrid.core.lifecycle import JobEvent, JobState, advance
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.protocol import buildlife, joblife
from wasmgrid.protocol.events import EndedAttempt, Record
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.scheduler import Ended

RETRIABLE = frozenset({OutcomeKind.EXITED, OutcomeKind.TIMED_OUT, OutcomeKind.OUT_OF_MEMORY})


def requeue(state: State, task: Task, reason: str, *, crashed: bool, now: float) -> None:
    """The task's attempt ended without ending the task: it waits again, or is lost at the crash limit."""
    ended = _end_attempt(state, task, reason, crashed=crashed)
    task.crashes += crashed
    if task.crashes >= state.settings.crash_limit:
        give_up(state, task, ended, f"lost after {task.crashes} attempts: {reason}")
        return
    if ended is not None:
        state.write(Record(ended=[ended]))
    _wait_again(state, task, reason, now)


def give_up(state: State, task: Task, ended: EndedAttempt | None, message: str) -> None:
    """Nobody could run the task to an end."""
    outcome = Outcome(kind=OutcomeKind.LOST, message=message)
    if task.id.kind == "build":
        buildlife.fail(state, task.id.id, outcome, attempt=ended.attempt if ended else 0)
        state.tasks.drop(task)
        return
    result = joblife.never_ran(task.id.id, task.id.index, outcome, ended)
    joblife.end_tasks(state, [(task, result)], ended=[ended] if ended else [])


def wants_retry(job: Job, task: Task, outcome: Outcome) -> bool:
    """Whether the user's retries give the task another try. A deterministic trap never gets one."""
    failed = outcome.kind in RETRIABLE and not outcome.succeeded
    return failed and task.tries < job.spec.retries and not job.cancelling


def retry(state: State, task: Task, outcome: Outcome, now: float) -> None:
    """The user's own failure, tried again."""
    ended = _end_attempt(state, task, f"will be retried: {outcome.kind}", crashed=False)
    task.tries += 1
    if ended is not None:
        state.write(Record(ended=[ended]))
    _wait_again(state, task, f"retry {task.tries} after {outcome.kind}", now)


def rebuild(state: State, task: Task, now: float) -> None:
    """The store lost the module of a job whose source it has: build it again, once."""
    job = state.jobs[task.id.id]
    ended = _end_attempt(state, task, "its module was gone or damaged: built again", crashed=False)
    if ended is not None:
        state.write(Record(ended=[ended]))
    state.tasks.drop(task)
    state.builds.forget(job.module_sha256 or "")
    job.rebuilt, job.module_sha256 = True, None
    job.state = advance(job.state, JobEvent.MODULE_LOST)
    buildlife.resolve(state, job, now)
    state.changed(job.id)


def _wait_again(state: State, task: Task, reason: str, now: float) -> None:
    task.queued_at = now
    if task.id.kind == "build":
        if state.builds.by_id(task.id.id) is None:  # nobody waits for it any more
            state.tasks.drop(task)
        else:
            state.enqueue(task)
        return
    job = state.jobs[task.id.id]
    if job.state is JobState.RUNNING and job.task_count == 1:
        job.state = advance(job.state, JobEvent.REQUEUED)
    if job.cancelling:
        outcome = Outcome(kind=OutcomeKind.CANCELLED, message=f"cancelled; {reason}")
        joblife.end_tasks(state, [(task, joblife.never_ran(job.id, task.id.index, outcome))])
        return
    state.enqueue(task)
    state.changed(job.id)


def _end_attempt(state: State, task: Task, reason: str, *, crashed: bool) -> EndedAttempt | None:
    """Take the task from its worker; what to record of that attempt."""
    if task.attempt is None:
        return None
    ended = EndedAttempt(task=task.id, attempt=task.attempt, worker_id=task.worker_id, reason=reason, crashed=crashed)
    state.scheduler.handle(Ended(task.worker_id, task.shape))
    state.tasks.release(task)
    return ended
