"""What becomes of a task whose attempt ended without ending it."""

from __future__ import annotations

import zlib

from msgspec.structs import replace

from wasmgrid.core.lifecycle import JobEvent, JobState, advance
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.protocol import buildlife, joblife, trust
from wasmgrid.protocol.deadlines import RetryDue
from wasmgrid.protocol.events import EndedAttempt, Record
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.jobs import Job, grown_mb
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.events import Ended

RETRIABLE = frozenset({OutcomeKind.EXITED, OutcomeKind.TIMED_OUT, OutcomeKind.OUT_OF_MEMORY})


def requeue(state: State, task: Task, reason: str, *, crashed: bool, now: float, answer: bool = False) -> None:
    """The task's attempt ended without ending the task: it waits again, or is lost at the crash limit.

    `answer`: its worker told so with a result, and keeps it until that is acknowledged.
    """
    ended = _end_attempt(state, task, reason, crashed=crashed)
    task.crashes += crashed
    state.counters.requeued += 1
    state.counters.crashes += crashed
    if task.crashes >= state.settings.crash_limit:
        give_up(state, task, ended, f"lost after {task.crashes} attempts: {reason}", answer=answer)
        return
    _record(state, ended, answer=answer)
    _withhold(state, task, ended)
    _wait_again(state, task, reason, now)


def give_up(state: State, task: Task, ended: EndedAttempt | None, message: str, *, answer: bool = False) -> None:
    """Nobody could run the task to an end."""
    outcome = Outcome(kind=OutcomeKind.LOST, message=message)
    if task.id.kind == "build":
        buildlife.fail(state, task.id.id, outcome, attempt=ended.attempt if ended else 0, acks=_acks(ended, answer))
        state.tasks.drop(task)
        return
    result = joblife.never_ran(task.id.id, task.id.index, outcome, ended)
    joblife.end_tasks(state, [(task, result)], ended=[ended] if ended else [], acks=_acks(ended, answer))


def wants_retry(state: State, job: Job, task: Task, outcome: Outcome) -> bool:
    """Whether the user's retries give the task another try.

    A deterministic trap never gets one, nor what ran out of memory where `retry_memory` can give it no more.
    """
    if outcome.kind not in RETRIABLE or outcome.succeeded or job.stopping is not None:
        return False
    if task.tries >= job.spec.retries:
        return False
    wants_more = outcome.kind is OutcomeKind.OUT_OF_MEMORY and job.spec.retry_memory is not None
    return not wants_more or _grown(state, job, task) > task.shape.need.memory_mb


def retry(state: State, task: Task, outcome: Outcome, now: float) -> None:
    """The user's own failure, tried again after a pause that doubles each time."""
    job = state.jobs[task.id.id]
    trust.failed(task)
    ended = _end_attempt(state, task, f"will be retried: {_words(outcome)}", crashed=False, retried=True)
    task.tries += 1
    state.counters.retries += 1
    _record(state, ended, answer=True)
    if outcome.kind is OutcomeKind.OUT_OF_MEMORY and job.spec.retry_memory is not None:
        need = replace(task.shape.need, memory_mb=_grown(state, job, task))
        task.shape = replace(task.shape, need=need)
    pause_s = _pause_s(state, task)
    task.resting = True
    _withhold(state, task, ended)
    state.deadlines.add(now + pause_s, RetryDue(task.id))
    _wait_again(state, task, f"retry {task.tries} of {job.spec.retries} after {_words(outcome)}", now)


def _pause_s(state: State, task: Task) -> float:
    """Doubling, and spread between half and whole by the task's own number, so that many do not come back at once."""
    settings = state.settings
    whole = min(settings.retry_first_s * 2.0 ** (task.tries - 1), settings.retry_most_s)
    spread = zlib.crc32(f"{task.id.id}/{task.id.index}/{task.tries}".encode()) / (1 << 32)
    return whole * (0.5 + spread / 2)


def _grown(state: State, job: Job, task: Task) -> int:
    """The memory of the next try, in MB: at most the operator's ceiling, and what some worker has (or had)."""
    most_mb = min(state.settings.memory_most_mb, state.largest_mb)
    return grown_mb(task.shape.need.memory_mb, job.spec.retry_memory, 1, most_mb=most_mb)


def _words(outcome: Outcome) -> str:
    return f"{outcome.kind}({outcome.exit_code})" if outcome.exit_code is not None else str(outcome.kind)


def rebuild(state: State, task: Task) -> None:
    """The store lost the module of a job whose source it has: build it again, once."""
    job = state.jobs[task.id.id]
    ended = _end_attempt(state, task, "its module was gone or damaged: built again", crashed=False)
    _record(state, ended, answer=True)
    for index in range(job.task_count):
        waiting = state.task_of("run", job.id, index)
        if waiting is not None and waiting.attempt is None and not waiting.settling:
            joblife.set_back(state, waiting)
    state.builds.forget(job.module_sha256 or "")
    job.rebuilt_after, job.module_sha256 = state.attempt_ids.latest, None
    job.state = advance(job.state, JobEvent.MODULE_LOST)
    buildlife.resolve(state, job)
    state.changed(job.id)


def _withhold(state: State, task: Task, ended: EndedAttempt | None) -> None:
    """An attempt of an earlier term ended, and a worker that was not heard yet may hold a later one."""
    if ended is not None and term_of(ended.attempt) < state.term and not state.takeover.settled:
        task.withheld = True


def _record(state: State, ended: EndedAttempt | None, *, answer: bool) -> None:
    if ended is not None:
        state.write(Record(ended=[ended]), acks=_acks(ended, answer))


def _acks(ended: EndedAttempt | None, answer: bool) -> list[tuple[str, int]]:
    return [(ended.worker_id, ended.attempt)] if ended is not None and answer else []


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
    if job.stopping is not None:
        outcome = Outcome(kind=job.stopping.kind, message=f"{job.stopping.message}; {reason}")
        joblife.end_tasks(state, [(task, joblife.never_ran(job.id, task.id.index, outcome))])
        return
    if job.state is JobState.BUILDING:
        joblife.set_back(state, task)
        return
    job.reason = reason if task.resting else None
    state.enqueue(task)
    state.changed(job.id)


def _end_attempt(state: State, task: Task, reason: str, *, crashed: bool, retried: bool = False) -> EndedAttempt | None:
    """Take the task from its worker; what to record of that attempt."""
    if task.attempt is None:
        return None
    ended = EndedAttempt(
        task=task.id,
        attempt=task.attempt,
        worker_id=task.worker_id,
        reason=reason,
        crashed=crashed,
        retried=retried,
    )
    state.schedule(Ended(task.id))
    state.tasks.release(task)
    return ended
