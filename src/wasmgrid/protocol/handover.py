"""The hand-over of results: which count, which come too late, and who may forget them."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from wasmgrid.core.job import BuildResult, TaskId, TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import Held, Results, Returned
from wasmgrid.protocol import attemptlife, attempts, buildlife, claims, joblife, trust, waiting
from wasmgrid.protocol.chunks import Chunk, runs_of, within
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import Ack, State
from wasmgrid.scheduling.events import ModuleCached

STRANGERS = 10_000
STRANGE_S = 3.0  # by then the leader's sweep has found whatever is in the store


@dataclass(slots=True)
class _Taken:
    """What of a message counts: results as they are to be kept, and the tasks of each chunk that they end."""

    results: list[TaskResult] = field(default_factory=list)
    ranges: list[TaskRange] = field(default_factory=list)
    indexes: dict[int, tuple[Chunk, list[int]]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    stale: list[Ack] = field(default_factory=list)

    def note(self, chunk: Chunk, indexes: list[int], seconds: float) -> None:
        """These tasks of the chunk ended, after so long together."""
        found = self.indexes.get(chunk.attempt)
        if found is None:
            self.indexes[chunk.attempt] = (chunk, indexes)
            self.seconds[chunk.attempt] = seconds
        else:
            found[1].extend(indexes)
            self.seconds[chunk.attempt] += seconds


def results(state: State, message: Results, now: float) -> None:
    """A worker hands over what ended. Answered after the commit; what no longer counts is answered at once."""
    if state.leases.renew(message.worker_id, message.incarnation, now) is None:
        state.send(message.worker_id, state.hello())
        return
    taken = _Taken()
    for result in message.tasks:
        _result(state, message.worker_id, result, taken, now)
    for each in message.ranges:
        _range(state, message.worker_id, each, taken, now)
    for build in message.builds:
        _build(state, message.worker_id, build, taken)
    if taken.stale:
        state.acknowledge(taken.stale)
    if taken.indexes:
        _keep(state, taken)


def returned(state: State, message: Returned, now: float) -> None:
    """A worker did not begin these tasks of a chunk, and will not: others may."""
    lease = state.leases.renew(message.worker_id, message.incarnation, now)
    chunk = state.chunks.get(message.attempt)
    if lease is not None and chunk is not None and (chunk.kind, chunk.worker_id) == ("run", message.worker_id):
        attemptlife.give_back(state, chunk, within(chunk.left, message.rest))


def _result(state: State, worker_id: str, result: TaskResult, taken: _Taken, now: float) -> None:
    chunk = state.chunks.get(result.attempt)
    if chunk is None or chunk.id != result.job_id or chunk.kind != "run" or chunk.worker_id != worker_id:
        chunk = _stray(state, worker_id, result, taken)
        if chunk is None:
            return
    index = result.index
    if index not in chunk.left:
        if index not in chunk.settling and (result.attempt, index) not in state.unanswered:
            _stale(state, result, taken)
        return
    job = state.jobs[result.job_id]
    if not _ends(state, job, chunk, result, now):
        return
    chunk.left.discard(index)
    taken.results.append(_with_times(job, chunk, result))
    taken.note(chunk, [index], result.finished_at - result.started_at)


def _range(state: State, worker_id: str, each: TaskRange, taken: _Taken, now: float) -> None:
    chunk = state.chunks.get(each.attempt)
    indexes = range(each.first, each.first + each.count)
    if (
        chunk is None
        or (chunk.kind, chunk.id, chunk.worker_id) != ("run", each.job_id, worker_id)
        or not chunk.left.issuperset(indexes)
    ):
        for result in each.results():  # some of it counts no more: each for itself
            _result(state, worker_id, result, taken, now)
        return
    job = state.jobs[each.job_id]
    job.start(each.started_at or None)
    _module_is_there(state, job, worker_id, cached=each.stats.module_cached)
    if job.history:
        for index in indexes:
            _trust(state, job, index, worker_id)
    chunk.left.difference_update(indexes)
    stats = replace(each.stats, queue_ms=_queue_ms(job, chunk, each.first), build_ms=job.build_ms)
    taken.ranges.append(replace(each, stats=stats))
    taken.note(chunk, list(indexes), each.finished_at - each.started_at)


def _build(state: State, worker_id: str, result: BuildResult, taken: _Taken) -> None:
    chunk = state.chunks.get(result.attempt)
    if chunk is None or (chunk.kind, chunk.id, chunk.worker_id) != ("build", result.build_id, worker_id):
        task_id = TaskId("build", result.build_id)
        if task_id not in state.unclaimed and (result.attempt, 0) not in state.unanswered:
            state.counters.stale_results += chunk is not None
            taken.stale.append(Ack(worker_id, result.attempt))
        return
    if not chunk.left:
        return
    wanted = state.builds.by_id(result.build_id) is not None
    is_crash = result.outcome.kind is OutcomeKind.LOST
    if is_crash or (wanted and result.outcome.kind is OutcomeKind.CANCELLED):
        message = result.outcome.message or "the builder crashed"
        buildlife.requeue(state, chunk, message, crashed=is_crash, answer=True)
    else:
        buildlife.ended(state, chunk, result)


def _keep(state: State, taken: _Taken) -> None:
    """Have it written; what each worker may forget then, and what of its room is free now."""
    acks = []
    settled = list(taken.indexes.values())
    for chunk, indexes in settled:
        job = state.jobs[chunk.id]
        chunk.settling.update(indexes)
        whole = job.spec.array is None
        acks += [Ack(chunk.worker_id, chunk.attempt, first, count, whole) for first, count in runs_of(indexes)]
        job.took(max(0.0, taken.seconds[chunk.attempt]), len(indexes))
        if not chunk.left:
            attempts.free_room(state, chunk)
    state.counters.results += sum(len(indexes) for _, indexes in settled)
    joblife.end_tasks(state, taken.results, taken.ranges, settled=settled, acks=acks)
    for chunk, _ in settled:
        job = state.jobs[chunk.id]
        if not job.finished:
            waiting.resize(state, job)
            waiting.admit(state, job)


def _stray(state: State, worker_id: str, result: TaskResult, taken: _Taken) -> Chunk | None:
    """A result of no attempt that is held there: it may be of an earlier leader's, and count nevertheless.

    None where it does not, or not yet: what may still come to count is not answered, so that its worker keeps it.
    """
    if (result.attempt, result.index) in state.unanswered:
        return None
    job = state.jobs.get(result.job_id)
    if job is None:
        if not _may_be_found_yet(state, result):
            taken.stale.append(_ack(state, result))
        return None
    if job.has(result.index) and term_of(result.attempt) < state.term:
        if not job.had_module and not job.is_past(result.index, result.attempt):
            return None  # its task cannot be anybody's just now
        held = Held(attempt=result.attempt, kind="run", id=job.id, index=result.index, phase="finished")
        claims.take_up(state, job, worker_id, held, state.now)
        chunk = state.chunks.get(result.attempt)
        if chunk is not None and chunk.worker_id == worker_id:
            return chunk
    _stale(state, result, taken)
    return None


def _stale(state: State, result: TaskResult, taken: _Taken) -> None:
    """It counts no more. Where another end of its task, or of its job, is being written, that must be there before."""
    job = state.jobs.get(result.job_id)
    if job is None or not (job.writing if result.index in job.done else job.finished):
        state.counters.stale_results += 1
        taken.stale.append(_ack(state, result))


def _may_be_found_yet(state: State, result: TaskResult) -> bool:
    """Whether the task may be one that this leader has not heard of yet, so that nothing of it may be forgotten.

    A leader that did not know that it was over may have given away what was committed meanwhile: the sweep finds it.
    """
    if term_of(result.attempt) >= state.term:
        return False
    if len(state.strangers) > STRANGERS:  # their workers never spoke again
        state.strangers.clear()
    since = state.strangers.setdefault(result.attempt, state.now)
    return state.now - since < STRANGE_S


def _ack(state: State, result: TaskResult) -> Ack:
    job = state.jobs.get(result.job_id)
    whole = job is not None and job.spec.array is None
    return Ack(result.worker_id, result.attempt, result.index, 1, whole)


def _ends(state: State, job: Job, chunk: Chunk, result: TaskResult, now: float) -> bool:
    """Whether the result ends its task, rather than giving it another attempt."""
    outcome, index = result.outcome, result.index
    if outcome.kind is OutcomeKind.LOST:
        attemptlife.crashed(state, chunk, index, outcome.message or "its runner crashed", now, answer=True)
        return False
    if result.module_missing and job.spec.source is not None and not job.stopping:
        if result.attempt <= job.rebuilt_after:  # another task said so before
            attemptlife.set_back(state, chunk, index, "its module was gone", now)
            return False
        if not job.rebuilt_after:
            attemptlife.rebuild(state, chunk, index, now)
            return False
    if outcome.kind is OutcomeKind.CANCELLED and job.stopping is None:  # by an earlier leader, whose reason is not ours
        attemptlife.set_back(state, chunk, index, "it was stopped by an earlier leader", now)
        return False
    succeeded = outcome.succeeded
    if not succeeded and attemptlife.wants_retry(state, job, index, outcome):
        attemptlife.retry(state, chunk, index, outcome, now)
        return False
    job.start(result.started_at or None)
    _module_is_there(state, job, chunk.worker_id, cached=result.stats.module_cached)
    if succeeded:
        _trust(state, job, index, chunk.worker_id)
    return True


def _module_is_there(state: State, job: Job, worker_id: str, *, cached: bool) -> None:
    if not cached and job.module_sha256:
        state.schedule(ModuleCached(worker_id, job.module_sha256))


def _trust(state: State, job: Job, index: int, worker_id: str) -> None:
    history = job.history.get(index) if job.history else None
    trust.succeeded(state, worker_id, frozenset() if history is None else history.failed_at)


def _queue_ms(job: Job, chunk: Chunk, index: int) -> float:
    history = job.history.get(index) if job.history else None
    since = job.queued_at if history is None or history.queued_at is None else history.queued_at
    return max(0.0, (chunk.assigned_at - since) * 1000)


def _with_times(job: Job, chunk: Chunk, result: TaskResult) -> TaskResult:
    """The result with what only the leader knows: how long the task waited, and its build took; why it was stopped."""
    stats = replace(result.stats, queue_ms=_queue_ms(job, chunk, result.index), build_ms=job.build_ms)
    outcome: Outcome = result.outcome
    if job.stopping is not None and outcome.kind is OutcomeKind.CANCELLED:
        outcome = job.stopping
    return replace(result, stats=stats, outcome=outcome)
