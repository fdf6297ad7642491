"""What the scheduler hears, and what it answers."""

from __future__ import annotations

import msgspec

from wasmgrid.core.job import TaskId
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.shape import Shape


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """Tasks may run: `count` of one job, from `task` on by index, kept as one entry.

    `order` is their place by age and stays with a task when it comes back. `module` is the digest that they run, a hint
    for where it is ready. `avoid` are workers where the task failed before: it goes there last of all that waits.
    """

    task: TaskId
    shape: Shape
    priority: int
    order: int
    tenant: str = "default"
    module: str = ""
    avoid: frozenset[str] = frozenset()
    count: int = 1


class Chunked(msgspec.Struct, frozen=True, gc=False):
    """From now on up to `size` consecutive tasks of a job (the index in `task` says nothing) are placed as one."""

    task: TaskId
    size: int


class Withdrawn(msgspec.Struct, frozen=True, gc=False):
    """A task, or the `count` tasks of its job from it on, no longer wait; nothing happens where they did not."""

    task: TaskId
    count: int = 1


class Ended(msgspec.Struct, frozen=True, gc=False):
    """What the task, or the chunk that begins with it, held of a worker is free again; nothing where there was none."""

    task: TaskId


class Adopted(msgspec.Struct, frozen=True, gc=False):
    """A worker was found to hold a task: what it takes is taken, whether or not it would be placed so today.

    The task no longer waits. Nothing is taken of a worker that is not in the pool.
    """

    task: TaskId
    worker_id: str
    shape: Shape
    tenant: str = "default"
    gpus: tuple[int, ...] = ()


class WorkerJoined(msgspec.Struct, frozen=True, gc=False):
    """A worker came, or says something new of itself; what its tasks take stays taken.

    `closed` is why it takes nothing new (empty: it does), `ends_at` when it means to leave, on the clock of `now`, and
    `modules` are the digests that it has ready (None: as before).
    """

    info: WorkerInfo
    closed: str = ""
    ends_at: float | None = None
    modules: tuple[str, ...] | None = None


class ModuleCached(msgspec.Struct, frozen=True, gc=False):
    """A worker has a module ready from now on."""

    worker_id: str
    module: str


class WorkerGone(msgspec.Struct, frozen=True, gc=False):
    """A worker left or was lost, and its capacity with it: no task holds anything of it any more."""

    worker_id: str


SchedulingEvent = Enqueued | Chunked | Withdrawn | Ended | Adopted | WorkerJoined | ModuleCached | WorkerGone


class Placement(msgspec.Struct, frozen=True, gc=False):
    """A task goes to a worker, with the GPUs of these indexes; its resources are taken.

    With it go the `count - 1` after it, to run one after the other in the same place.
    """

    task: TaskId
    worker_id: str
    gpus: tuple[int, ...] = ()
    count: int = 1
