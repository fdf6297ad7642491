"""Short names for tests, and a world that knows by itself, slowly, what a scheduler should know."""

from __future__ import annotations

from dataclasses import dataclass, field

from wasmgrid.core.job import TaskId
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Gpu, WorkerInfo, gpu_matches
from wasmgrid.scheduling.events import (
    Adopted,
    Ended,
    Enqueued,
    Placement,
    Withdrawn,
    WorkerGone,
    WorkerJoined,
)
from wasmgrid.scheduling.scheduler import Policy, Scheduler
from wasmgrid.scheduling.shape import Shape

CAPACITY = Resources(milli_cpus=4000, memory_mb=8000, disk_mb=8000, slots=8)
T4, H100 = "Tesla T4", "NVIDIA H100 80GB HBM3"


def worker(worker_id: str, *, gpus: list[Gpu] | None = None, **changes: object) -> WorkerInfo:
    """A worker of 4 cpus and 8000 MB."""
    capacity = CAPACITY + Resources(gpus=len(gpus or []))
    fields: dict[str, object] = {"id": worker_id, "incarnation": "1", "version": "1", "capacity": capacity}
    return WorkerInfo(gpus=gpus or [], **(fields | changes))  # type: ignore[arg-type]


def gpus(*models: str) -> list[Gpu]:
    """GPUs of these models, numbered from 0."""
    return [Gpu(index=i, model=model, memory_mb=80_000 if model == H100 else 15_000) for i, model in enumerate(models)]


def shape(cpus: float = 1, memory_mb: int = 1000, gpus: int = 0, **changes: object) -> Shape:
    """A request, of 1 cpu and 1000 MB unless told otherwise."""
    need = Resources(milli_cpus=int(cpus * 1000), memory_mb=memory_mb, gpus=gpus, slots=1)
    return Shape(need=need, **changes)  # type: ignore[arg-type]


def task(number: int, index: int = 0) -> TaskId:
    """A task of job `number`."""
    return TaskId("run", number, index)


@dataclass
class There:
    """A worker as the world knows it."""

    info: WorkerInfo
    closed: str
    ends_at: float | None


@dataclass
class World:
    """A scheduler, and beside it what it was told and what it answered; every answer is checked."""

    policy: Policy = "best_fit"
    weights: dict[str, float] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(policy=self.policy, weights=self.weights)
        self.workers: dict[str, There] = {}
        self.waiting: dict[TaskId, Enqueued] = {}
        self.held: dict[TaskId, tuple[str, Shape, tuple[int, ...], str]] = {}
        self._orders = 0

    def join(self, info: WorkerInfo, *, closed: str = "", ends_at: float | None = None) -> None:
        self.workers[info.id] = There(info, closed, ends_at)
        self.scheduler.handle(WorkerJoined(info, closed=closed, ends_at=ends_at), self.now)

    def go(self, worker_id: str) -> None:
        self.workers.pop(worker_id, None)
        self.held = {task: held for task, held in self.held.items() if held[0] != worker_id}
        self.scheduler.handle(WorkerGone(worker_id), self.now)

    def enqueue(self, first: TaskId, wanted: Shape, *, priority: int = 0, count: int = 1, **more: object) -> None:
        self._orders += 1
        order = more.pop("order", self._orders)
        event = Enqueued(first, wanted, priority, order, count=count, **more)  # type: ignore[arg-type]
        for index in range(first.index, first.index + count):
            self.waiting.setdefault(TaskId(first.kind, first.id, index), event)
        self.scheduler.handle(event, self.now)

    def withdraw(self, task: TaskId) -> None:
        self.waiting.pop(task, None)
        self.scheduler.handle(Withdrawn(task), self.now)

    def end(self, task: TaskId) -> None:
        self.held.pop(task, None)
        self.scheduler.handle(Ended(task), self.now)

    def adopt(self, task: TaskId, worker_id: str, wanted: Shape, gpus: tuple[int, ...] = ()) -> None:
        self.waiting.pop(task, None)
        self.held.pop(task, None)
        if worker_id in self.workers:
            self.held[task] = (worker_id, wanted, gpus, "default")
        self.scheduler.handle(Adopted(task, worker_id, wanted, gpus=gpus), self.now)

    def place(self) -> list[Placement]:
        """What is placed now; each of them fits where it goes, in the order in which they come."""
        placements = self.scheduler.place(self.now)
        for placement in placements:
            event = self.waiting.pop(placement.task)
            self.held.pop(placement.task, None)  # where it was told to wait while it was held
            assert self.fits(event.shape, placement.worker_id), placement
            assert set(placement.gpus) <= self.free_gpus(event.shape, placement.worker_id), placement
            assert len(placement.gpus) == event.shape.need.gpus == len(set(placement.gpus))
            self.held[placement.task] = (placement.worker_id, event.shape, placement.gpus, event.tenant)
        self.check()
        return placements

    def free(self, worker_id: str) -> Resources:
        used = sum((wanted.need for at, wanted, _, _ in self.held.values() if at == worker_id), Resources())
        return self.workers[worker_id].info.capacity - used

    def free_gpus(self, wanted: Shape, worker_id: str) -> set[int]:
        taken = {index for at, _, indexes, _ in self.held.values() if at == worker_id for index in indexes}
        return {
            gpu.index
            for gpu in self.workers[worker_id].info.gpus
            if gpu.index not in taken and gpu_matches(gpu, model=wanted.gpu_model, memory_mb=wanted.gpu_memory_mb)
        }

    def fits(self, wanted: Shape, worker_id: str) -> bool:
        """Whether the worker could take a task of that shape now: the rules in plain words, one worker at a time."""
        there = self.workers[worker_id]
        info = there.info
        if there.closed or (there.ends_at is not None and self.now + wanted.time_limit_s > there.ends_at):
            return False
        if any(info.labels.get(key) != value for key, value in wanted.require):
            return False
        if wanted.toolchain is None and info.builds_only:
            return False
        if wanted.toolchain is not None and wanted.toolchain not in {each.identity for each in info.toolchains}:
            return False
        return wanted.need.fits_in(self.free(worker_id)) and len(self.free_gpus(wanted, worker_id)) >= wanted.need.gpus

    def kept(self, worker_id: str) -> bool:
        """Whether the worker is reserved for some task."""
        row = self.scheduler.pool.row(worker_id)
        return row is not None and self.scheduler.reservations.at(row) is not None

    def check(self) -> None:
        """The scheduler counts as the world does, and nothing waits that could run."""
        pool, queue = self.scheduler.pool, self.scheduler.queue
        assert sorted(queue.tasks()) == sorted(self.waiting)
        assert len(queue) == len(self.waiting)
        assert {info.id for info in pool.infos()} == set(self.workers)
        for worker_id, there in self.workers.items():
            used = [index for at, _, indexes, _ in self.held.values() if at == worker_id for index in indexes]
            assert pool.free(worker_id) == self.free(worker_id)
            assert pool.gpus_used(worker_id) == sorted(set(used))
            assert pool.closed(worker_id) == there.closed
        for wanted in {event.shape for event in self.waiting.values()}:
            for worker_id in self.workers:
                assert self.kept(worker_id) or not self.fits(wanted, worker_id), (wanted, worker_id)
