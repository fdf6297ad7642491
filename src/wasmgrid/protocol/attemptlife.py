"""What becomes of tasks whose attempt ended without ending them."""

from __future__ import annotations

import zlib

from wasmgrid.core.job import TaskId
from wasmgrid.core.lifecycle import JobEvent, JobState, advance
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Ranges
from wasmgrid.protocol import attempts, buildlife, joblife, waiting
from wasmgrid.protocol.chunks import Chunk, runs_of
from wasmgrid.protocol.deadlines import RetryDue
from wasmgrid.protocol.events import EndedAttempt, Record
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.jobs import Job, grown_mb
from wasmgrid.protocol.state import Ack, State

RETRIABLE = frozenset({OutcomeKind.EXITED, OutcomeKind.TIMED_OUT, OutcomeKind.OUT_OF_MEMORY})


def requeue(state: State, chunk: Chunk, reason: str, now: float, *, indexes: set[int] | None = None) -> None:
    """These tasks of the attempt (or all that are left) were lost, not by their own doing: they wait again."""
    gone = set(chunk.left) if indexes is None else indexes & chunk.left
    if not gone:
        return
    if chunk.kind == "build":
        buildlife.requeue(state, chunk, reason)
        return
    job = state.jobs[chunk.id]
    attempts.take_back(state, chunk, gone)
    runs = list(runs_of(gone))
    state.counters.requeued += len(gone)
    ended = [_ended(chunk, first, reason, count=count) for first, count in runs]
    state.write(Record(ended=ended))
    for first, count in runs:
        _note_end(state, job, chunk.attempt, first, count)
    for history in filter(None, map(job.history.get, gone)) if job.history else ():
        history.queued_at = now
    _wait_again(state, job, gone, reason)


def give_back(state: State, chunk: Chunk, indexes: set[int]) -> None:
    """The worker did not begin these, and will not: a task before them turned out long, or it was told to stop."""
    if not indexes:
        return
    job = state.jobs[chunk.id]
    attempts.take_back(state, chunk, indexes)
    for first, count in runs_of(indexes):
        _note_end(state, job, chunk.attempt, first, count)
    if chunk.left:
        job.took(2 * waiting.slice_s(job), 1)
        waiting.resize(state, job)
    _wait_again(state, job, indexes, "it had not begun")


def crashed(state: State, chunk: Chunk, index: int, reason: str, now: float, *, answer: bool = False) -> None:
    """The runner, or the agent, died with this task, which is lost at the crash limit.

    `answer`: its worker told so with a result, and keeps it until that is acknowledged.
    """
    if chunk.kind == "build":
        buildlife.requeue(state, chunk, reason, crashed=True, answer=answer)
        return
    job = state.jobs[chunk.id]
    history = job.known(index)
    history.crashes += 1
    if answer:
        history.failed_at |= {chunk.worker_id}
    state.counters.requeued += 1
    state.counters.crashes += 1
    attempts.take_back(state, chunk, {index})
    _note_end(state, job, chunk.attempt, index, 1)
    ended = _ended(chunk, index, reason, crashed=True)
    acks = _acks(state, job, chunk, index) if answer else []
    if history.crashes >= state.settings.crash_limit:
        lost = Outcome(kind=OutcomeKind.LOST, message=f"lost after {history.crashes} attempts: {reason}")
        joblife.end_tasks(state, [joblife.never_ran(job.id, index, lost, ended)], ended=[ended], acks=acks)
        if not job.finished:
            waiting.admit(state, job)
    else:
        history.queued_at = now
        state.write(Record(ended=[ended]), acks=acks)
        _wait_again(state, job, {index}, reason)


def be_careful(state: State, job: Job, tasks: int) -> None:
    """One of so many tasks took its worker down, and nobody knows which: they go one by one until they have ended."""
    job.careful = max(job.careful, tasks)
    waiting.resize(state, job)


def wants_retry(state: State, job: Job, index: int, outcome: Outcome) -> bool:
    """Whether the user's retries give the task another try.

    A deterministic trap never gets one, nor what ran out of memory where `retry_memory` can give it no more.
    """
    if not job.spec.retries or outcome.kind not in RETRIABLE or outcome.succeeded or job.stopping is not None:
        return False
    history = job.history.get(index)
    if history is not None and history.tries >= job.spec.retries:
        return False
    wants_more = outcome.kind is OutcomeKind.OUT_OF_MEMORY and job.spec.retry_memory is not None
    return not wants_more or _grown(state, job, index) > _memory_mb(job, index)


def retry(state: State, chunk: Chunk, index: int, outcome: Outcome, now: float) -> None:
    """The user's own failure, tried again after a pause that doubles each time."""
    job = state.jobs[chunk.id]
    history = job.known(index)
    history.failed_at |= {chunk.worker_id}
    history.tries += 1
    if outcome.kind is OutcomeKind.OUT_OF_MEMORY and job.spec.retry_memory is not None:
        history.memory_mb = _grown(state, job, index)
    state.counters.retries += 1
    ended = _ended(chunk, index, f"will be retried: {_words(outcome)}", retried=True)
    attempts.take_back(state, chunk, {index})
    _note_end(state, job, chunk.attempt, index, 1)
    state.write(Record(ended=[ended]), acks=_acks(state, job, chunk, index))
    pause_s = _pause_s(state, job, index, history.tries)
    job.resting.add(index)
    history.queued_at = now
    state.deadlines.add(now + pause_s, RetryDue(TaskId("run", job.id, index)))
    _wait_again(state, job, {index}, f"retry {history.tries} of {job.spec.retries} after {_words(outcome)}")


def set_back(state: State, chunk: Chunk, index: int, reason: str, now: float) -> None:
    """The task could not run because its module was gone; its worker says so with a result, which is answered."""
    job = state.jobs[chunk.id]
    attempts.take_back(state, chunk, {index})
    _note_end(state, job, chunk.attempt, index, 1)
    state.counters.requeued += 1
    state.write(Record(ended=[_ended(chunk, index, reason)]), acks=_acks(state, job, chunk, index))
    if (history := job.history.get(index)) is not None:
        history.queued_at = now
    _wait_again(state, job, {index}, reason)


def rebuild(state: State, chunk: Chunk, index: int, now: float) -> None:
    """The store lost the module of a job whose source it has: build it again, once."""
    job = state.jobs[chunk.id]
    runs = waiting.of(state, job).runs()
    waiting.withdraw(state, job, runs)
    job.gated, job.enqueued = Ranges(), 0
    state.builds.forget(job.module_sha256 or "")
    job.rebuilt_after, job.module_sha256 = state.attempt_ids.latest, None
    job.state = advance(job.state, JobEvent.MODULE_LOST)
    set_back(state, chunk, index, "its module was gone or damaged: built again", now)
    buildlife.resolve(state, job)
    state.changed(job.id)


def _pause_s(state: State, job: Job, index: int, tries: int) -> float:
    """Doubling, and spread between half and whole by the task's own number, so that many do not come back at once."""
    settings = state.settings
    whole = min(settings.retry_first_s * 2.0 ** (tries - 1), settings.retry_most_s)
    spread = zlib.crc32(f"{job.id}/{index}/{tries}".encode()) / (1 << 32)
    return whole * (0.5 + spread / 2)


def _memory_mb(job: Job, index: int) -> int:
    history = job.history.get(index)
    return history.memory_mb if history is not None and history.memory_mb else job.shape.need.memory_mb


def _grown(state: State, job: Job, index: int) -> int:
    """The memory of the next try, in MB: at most the operator's ceiling, and what some worker has (or had)."""
    most_mb = min(state.settings.memory_most_mb, state.largest_mb)
    return grown_mb(_memory_mb(job, index), job.spec.retry_memory, 1, most_mb=most_mb)


def _words(outcome: Outcome) -> str:
    return f"{outcome.kind}({outcome.exit_code})" if outcome.exit_code is not None else str(outcome.kind)


def _ended(
    chunk: Chunk, first: int, reason: str, *, count: int = 1, crashed: bool = False, retried: bool = False
) -> EndedAttempt:
    return EndedAttempt(
        task=TaskId(chunk.kind, chunk.id, first),
        attempt=chunk.attempt,
        worker_id=chunk.worker_id,
        reason=reason,
        crashed=crashed,
        retried=retried,
        count=count,
    )


def _acks(state: State, job: Job, chunk: Chunk, index: int) -> list[Ack]:
    state.unanswered.add((chunk.attempt, index))
    return [Ack(chunk.worker_id, chunk.attempt, index, whole=job.spec.array is None)]


def _note_end(state: State, job: Job, attempt: int, first: int, count: int) -> None:
    """What is reported of it, or of one before it, counts no more. A new job may have attempts from before as well:
    of a leader that did not know yet that its term was over.

    An attempt of an earlier term ended, and a worker that was not heard yet may hold a later one: withheld.
    """
    if term_of(attempt) >= state.term:
        job.came_back.add(first, count)
        return
    job.over.append((first, count, attempt))
    if not state.takeover.settled:
        job.withheld.add(first, count)


def _wait_again(state: State, job: Job, indexes: set[int], reason: str) -> None:
    if job.state is JobState.RUNNING and job.task_count == 1:
        job.state = advance(job.state, JobEvent.REQUEUED)
    if job.stopping is not None:
        outcome = Outcome(kind=job.stopping.kind, message=f"{job.stopping.message}; {reason}")
        job.resting -= indexes
        for run in runs_of(indexes):
            job.withheld.discard(*run)
        joblife.end_waiting(state, job, runs_of(indexes), outcome)
        return
    if job.state is JobState.BUILDING:
        return
    resting = not indexes.isdisjoint(job.resting)
    job.reason = reason if resting and job.task_count == 1 else None
    free = [index for index in indexes if index not in job.withheld and index not in job.resting]
    waiting.release(state, job, runs_of(free))
    waiting.admit(state, job)
    state.changed(job.id)
