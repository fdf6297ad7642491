"""Which tasks of a job the scheduler may place now, and how many of them go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from wasmgrid.core.job import TaskId
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.core.work import CHUNK_S
from wasmgrid.protocol.chunks import runs_of
from wasmgrid.protocol.history import History
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State
from wasmgrid.scheduling.events import Chunked, Ended, Enqueued, Placement, Withdrawn
from wasmgrid.scheduling.shape import Shape
from wasmgrid.scheduling.vectors import need_of

MOST_CHUNK = 10_000  # tasks; what a frame of 512 KiB can name results of
SHARES = 2  # a chunk is at most this part of what everybody who could run such tasks would get
LONG_S = 0.002  # a task that takes so long; chunks of such hold more work, for few of them are lost with a worker
LONG_CHUNK_S = 0.2
CHANGE = 1.25  # the scheduler is told of a size that differs by so much


def of(state: State, job: Job) -> Ranges:
    """The tasks that wait for a worker: neither done nor held, withheld or resting."""
    waiting = job.indexes.without(job.done).without(job.withheld)
    for chunk in state.chunks.of("run", job.id):
        for run in runs_of(chunk.left):
            waiting.discard(*run)
    for index in job.resting:
        waiting.discard(index)
    return waiting


def release(state: State, job: Job, runs: Iterable[Run]) -> None:
    """These wait for a worker from now on; where the job has no module yet, from when it has."""
    if job.state is JobState.BUILDING:
        return
    if job.spec.concurrency is not None or job.gave_up:
        for run in runs:
            job.gated.add(*run)
        admit(state, job)
        return
    for first, count in runs:
        _enqueue(state, job, first, count)


def admit(state: State, job: Job) -> None:
    """With a bound on how many run at once: let the scheduler have as many as may start now."""
    if job.spec.concurrency is None or job.gave_up:
        return
    free = job.spec.concurrency - state.chunks.holding("run", job.id)
    most = free * job.chunk - job.enqueued
    for first, count in job.gated.runs():
        if most <= 0:
            return
        taken = min(count, most)
        job.gated.discard(first, taken)
        job.enqueued += taken
        most -= taken
        _enqueue(state, job, first, taken)


def may_start(state: State, job: Job, placement: Placement) -> bool:
    """Whether what was placed keeps within the job's bound; else it waits again, and the worker has its room back."""
    job.enqueued = max(0, job.enqueued - placement.count)
    if job.spec.concurrency is None or state.chunks.holding("run", job.id) < job.spec.concurrency:
        return True
    state.schedule(Ended(placement.task))
    job.gated.add(placement.task.index, placement.count)
    return False


def withdraw(state: State, job: Job, runs: Iterable[Run]) -> None:
    """These wait no more."""
    for first, count in runs:
        state.schedule(Withdrawn(TaskId("run", job.id, first), count))
        gated = job.gated.discard(first, count)
        if job.spec.concurrency is not None:
            job.enqueued = max(0, job.enqueued - count + gated)
        job.withheld.discard(first, count)


def close(state: State, job: Job) -> None:
    """Nothing more of it starts: too many of its tasks failed, and the rest ends as soon as the store has that."""
    runs = of(state, job).runs()
    withdraw(state, job, runs)
    release(state, job, runs)


def resize(state: State, job: Job) -> None:
    """How many tasks go together follows what one takes, and never exceeds a fair share of what waits."""
    if job.task_count == 1 or not job.pace_s:
        return
    need = need_of(job.shape.need).numbers
    totals = state.scheduler.pool.totals
    parallel = min((total // amount for total, amount in zip(totals, need, strict=True) if amount), default=1)
    if job.spec.concurrency is not None:
        parallel = min(parallel, job.spec.concurrency)
    waiting = job.task_count - len(job.done)
    size = max(1, min(int(slice_s(job) / job.pace_s), waiting // (SHARES * max(1, parallel)), MOST_CHUNK))
    size = 1 if job.careful else size
    if not job.chunk / CHANGE <= size <= job.chunk * CHANGE:
        job.chunk = size
        state.schedule(Chunked(TaskId("run", job.id), size))


def slice_s(job: Job) -> float:
    """How much work a chunk of the job is meant to be, in seconds."""
    return CHUNK_S if job.pace_s < LONG_S else LONG_CHUNK_S


def _enqueue(state: State, job: Job, first: int, count: int) -> None:
    for start, size, history in _alike(job, first, count):
        state.schedule(
            Enqueued(
                TaskId("run", job.id, start),
                shape_of(job, history),
                job.spec.priority,
                job.id,
                tenant=job.tenant,
                module=job.module_sha256 or "",
                avoid=frozenset() if history is None else history.failed_at,
                count=size,
            )
        )


def _alike(job: Job, first: int, count: int) -> Iterator[tuple[int, int, History | None]]:
    """The run in parts: those with a history that matters to matching one by one, the others together."""
    start, end = first, first + count
    if job.history:
        few = job.history if len(job.history) < count else range(first, end)
        for index in sorted(index for index in few if first <= index < end):
            history = job.history.get(index)
            if history is None or not (history.failed_at or history.memory_mb):
                continue
            if start < index:
                yield start, index - start, None
            yield index, 1, history
            start = index + 1
    if start < end:
        yield start, end - start, None


def shape_of(job: Job, history: History | None) -> Shape:
    """What a task with this history needs."""
    if history is None or not history.memory_mb:
        return job.shape
    return replace(job.shape, need=replace(job.shape.need, memory_mb=history.memory_mb))
