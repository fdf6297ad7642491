"""Tasks change hands: they are taken back from a worker, or an attempt of an earlier leader is left to its worker."""

from __future__ import annotations

from collections.abc import Iterable

from wasmgrid.core.job import TaskId
from wasmgrid.core.wire import Cancel, Held
from wasmgrid.protocol import waiting
from wasmgrid.protocol.chunks import Chunk, runs_of
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State
from wasmgrid.scheduling.events import Adopted, Ended
from wasmgrid.scheduling.shape import Shape


def take_back(state: State, chunk: Chunk, indexes: set[int]) -> None:
    """The worker does not hold these any more. Its room is free once nothing is left."""
    chunk.left -= indexes
    if not chunk.left:
        free_room(state, chunk)
        if chunk.over:
            state.chunks.drop(chunk)
    elif chunk.anchor.index in indexes and chunk.has_room:  # that id may be placed again while the chunk goes on
        state.schedule(Ended(chunk.anchor))
        chunk.anchor = TaskId(chunk.kind, chunk.id, min(chunk.left))
        state.schedule(_room(state, chunk))


def free_room(state: State, chunk: Chunk) -> None:
    """Nothing of the chunk runs any more."""
    if chunk.has_room:
        chunk.has_room = False
        state.schedule(Ended(chunk.anchor))


def adopt(state: State, job: Job, worker_id: str, held: Held, indexes: Iterable[int]) -> bool:
    """The worker was found to hold these tasks: they are left to it, unless its capacity went to others meanwhile.

    What has finished there and waits to be acknowledged takes nothing any more.
    """
    taken = set(indexes)
    known = [history for index in taken if (history := job.history.get(index)) is not None and history.memory_mb]
    shape = waiting.shape_of(job, max(known, key=lambda one: one.memory_mb, default=None))
    chunk = _take_up(state, TaskId("run", job.id, min(taken)), worker_id, held, taken, shape)
    if chunk is None:
        return False
    keep(state, job, taken)
    hold(state, chunk)
    return True


def keep(state: State, job: Job, indexes: set[int]) -> None:
    """These do not wait any more: a worker has them."""
    waiting.withdraw(state, job, runs_of(indexes))
    job.resting -= indexes


def make_room(state: State, chunk: Chunk, held: Held) -> bool:
    """What was thought to be over still runs at its worker: whether it has the room for it."""
    if not state.scheduler.fits_now(chunk.worker_id, chunk.shape, tuple(held.gpus)):
        return False
    chunk.has_room, chunk.gpus = True, tuple(held.gpus)
    chunk.anchor = TaskId(chunk.kind, chunk.id, min(chunk.left))
    state.schedule(_room(state, chunk))
    return True


def lost(state: State, task: TaskId, worker_id: str, held: Held, shape: Shape) -> Chunk:
    """An attempt of before that is known only by its end."""
    chunk = Chunk(
        anchor=task,
        attempt=held.attempt,
        worker_id=worker_id,
        left={task.index},
        shape=shape,
        assigned_at=state.now,
        has_room=False,
    )
    state.chunks.add(chunk)
    return chunk


def show(state: State, chunk: Chunk, held: Held) -> None:
    """What the worker says of it, for people."""
    chunk.phase, chunk.detail, chunk.running = held.phase, held.detail, held.running
    if chunk.kind == "run" and held.phase in {"running", "finished"}:
        state.jobs[chunk.id].start(held.started_at)
    state.changed(chunk.id)


def adopt_build(state: State, build_id: int, shape: Shape, worker_id: str, held: Held) -> bool:
    """The same for a build, which waits no more then."""
    chunk = _take_up(state, TaskId("build", build_id), worker_id, held, {0}, shape)
    if chunk is not None:
        hold(state, chunk)
    return chunk is not None


def _take_up(state: State, anchor: TaskId, worker_id: str, held: Held, indexes: set[int], shape: Shape) -> Chunk | None:
    gpus, is_over = tuple(held.gpus), held.phase == "finished"
    if not is_over and not state.scheduler.fits_now(worker_id, shape, gpus):
        state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
        return None
    state.counters.adopted += 1
    return Chunk(
        anchor=anchor,
        attempt=held.attempt,
        worker_id=worker_id,
        left=indexes,
        shape=shape,
        assigned_at=state.now,
        gpus=() if is_over else gpus,
        has_room=not is_over,
        phase=held.phase if is_over else "assigned",
    )


def hold(state: State, chunk: Chunk) -> None:
    """An adopted attempt is one of those that are held."""
    state.chunks.add(chunk)
    if chunk.has_room:
        state.schedule(_room(state, chunk))


def _room(state: State, chunk: Chunk) -> Adopted:
    job = state.jobs.get(chunk.id) if chunk.kind == "run" else None
    tenant = "default" if job is None else job.tenant
    return Adopted(chunk.anchor, chunk.worker_id, chunk.shape, tenant=tenant, gpus=chunk.gpus)
