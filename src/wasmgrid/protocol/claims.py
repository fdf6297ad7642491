"""What workers say that they hold, against what this leader knows: the same, something older, or something newer."""

from __future__ import annotations

from wasmgrid.core.job import TaskId
from wasmgrid.core.ranges import Ranges
from wasmgrid.core.wire import Cancel, Held
from wasmgrid.protocol import attemptlife, attempts, buildlife
from wasmgrid.protocol.chunks import Chunk, within
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State

DIED = "the worker died while it ran"
OVER_PHASES = frozenset({"finished", "died"})


def claim(state: State, worker_id: str, held: Held, now: float) -> None:
    """A worker says that it holds this attempt: it is known, or becomes so, or must stop."""
    chunk = state.chunks.get(held.attempt)
    if chunk is not None and chunk.worker_id == worker_id and (chunk.kind, chunk.id) == (held.kind, held.id):
        if held.phase == "died":
            died(state, chunk, held, now)
            attemptlife.requeue(state, chunk, DIED, now)
        elif chunk.kind == "run":
            _more(state, chunk, held)
        return
    if any(attempt == held.attempt for attempt, _ in state.unanswered):
        return  # it ended, and its worker hears so once that is written
    if chunk is not None:
        _stop(state, worker_id, held)
    elif held.kind == "build":
        _claim_build(state, worker_id, held)
    else:
        job = state.jobs.get(held.id)
        if job is None or job.finished:
            _stop(state, worker_id, held)
        else:
            take_up(state, job, worker_id, held, now)


def reconcile(state: State, chunk: Chunk, held: Held | None, now: float) -> None:
    """What the worker of a known chunk does not list any more was lost, or never reached it."""
    if held is None:
        attemptlife.requeue(state, chunk, "the worker does not hold it", now)
    elif held.rest and (gone := chunk.left - within(chunk.left, held.rest)):
        attemptlife.requeue(state, chunk, "the worker does not hold it", now, indexes=gone)


def take_up(state: State, job: Job, worker_id: str, held: Held, now: float) -> None:
    """An attempt from before counts for those of its tasks of which nothing later is known: the highest one counts.

    Only one of an earlier term can be unknown here. Those of this term were given by this leader, or are made up.
    """
    if term_of(held.attempt) >= state.term:
        _stop(state, worker_id, held)
        return
    if held.phase == "died":
        _died_unknown(state, job, worker_id, held, now)
        return
    if not job.had_module:
        _stop(state, worker_id, held)
        return
    ours = _open(job, held)
    for other in state.chunks.of("run", job.id):
        common = other.left & ours
        if common and other.attempt > held.attempt:
            ours -= common
        elif common:
            _supersede(state, other, common, now)
    ours = {index for index in ours if job.has(index)}  # a job that is being stopped ended some of them with that
    if not ours or not attempts.adopt(state, job, worker_id, held, ours):
        if not ours:
            _stop(state, worker_id, held)
        return
    chunk = state.chunks.get(held.attempt)
    if chunk is not None:
        attempts.show(state, chunk, held)


def _supersede(state: State, chunk: Chunk, common: set[int], now: float) -> None:
    """A later attempt at these tasks of the chunk is alive. What ended is taken from it alone; else all of it stops."""
    if not all(map(chunk.has_ended, common)):
        state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason="superseded"))
        common = set(chunk.left)
    attemptlife.requeue(state, chunk, "a later attempt is alive", now, indexes=common)


def died(state: State, chunk: Chunk, held: Held, now: float) -> None:
    """The agent died with this chunk: only the task that ran then crashed. Where nobody knows which, they go singly."""
    index = _ran(held)
    if index is None:
        attemptlife.be_careful(state, state.jobs[chunk.id], len(chunk.left))
    elif index in chunk.left:
        attemptlife.crashed(state, chunk, index, DIED, now)


def _ran(held: Held) -> int | None:
    return held.index if held.running is None and held.count == 1 else held.running


def _open(job: Job, held: Held) -> set[int]:
    """Those of the attempt's tasks that have no result, and no later attempt that ended."""
    runs = held.rest or [(held.index, held.count)]
    free = job.indexes.without(job.done)
    found: set[int] = set()
    for first, count in runs:
        for low, size in free.runs():
            begin, end = max(first, low), min(first + count, low + size)
            found.update(range(begin, end))
    later = Ranges((first, count) for first, count, attempt in job.over if attempt >= held.attempt)
    return {index for index in found if index not in later and index not in job.came_back}


def _more(state: State, chunk: Chunk, held: Held) -> None:
    """A chunk of before that was taken up in parts, as its results came: the worker holds more of it."""
    if term_of(chunk.attempt) >= state.term or held.phase in OVER_PHASES:
        return
    job = state.jobs[chunk.id]
    extra = _open(job, held) - chunk.left
    for other in state.chunks.of("run", job.id):
        extra -= other.left
    if not extra or not job.had_module:
        return
    chunk.left |= extra
    attempts.keep(state, job, extra)
    if not chunk.has_room and not attempts.make_room(state, chunk, held):
        state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason="superseded"))
        attemptlife.requeue(state, chunk, "its worker's capacity went to others", state.now)


def _died_unknown(state: State, job: Job, worker_id: str, held: Held, now: float) -> None:
    index = _ran(held)
    if index is None:
        attemptlife.be_careful(state, job, len(_open(job, held)))
        return
    holders = [chunk for chunk in state.chunks.of("run", job.id) if index in chunk.left]
    if not job.has(index) or job.is_past(index, held.attempt) or any(one.attempt > held.attempt for one in holders):
        return
    for other in holders:
        state.send(other.worker_id, Cancel(term=state.term, attempt=other.attempt, reason="superseded"))
        attemptlife.requeue(state, other, "a later attempt is known", now)
    if not job.has(index):
        return
    attempts.keep(state, job, {index})
    chunk = attempts.lost(state, TaskId("run", job.id, index), worker_id, held, job.shape)
    attemptlife.crashed(state, chunk, index, DIED, now)


def _claim_build(state: State, worker_id: str, held: Held) -> None:
    task_id = TaskId("build", held.id)
    if state.builds.by_id(held.id) is not None or state.chunks.of("build", held.id):
        buildlife.claim(state, worker_id, held)
    elif not state.takeover.settled or task_id in state.unclaimed:
        if held.phase != "died":
            buildlife.set_aside(state, worker_id, held)
    else:
        _stop(state, worker_id, held)


def _stop(state: State, worker_id: str, held: Held) -> None:
    if held.phase not in OVER_PHASES:
        state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
