"""Joins what waits with what is free."""

from __future__ import annotations

import heapq

import msgspec

from wasmgrid.core.job import TaskId
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.queue import Group, Queue
from wasmgrid.scheduling.shape import Shape


class Enqueued(msgspec.Struct, frozen=True):
    """A task may run. `order` is its place by age and stays with it when it comes back."""

    task: TaskId
    shape: Shape
    priority: int
    order: int


class Withdrawn(msgspec.Struct, frozen=True):
    """A task no longer waits (cancelled)."""

    task: TaskId


class Ended(msgspec.Struct, frozen=True):
    """An attempt of a task of `shape` at `worker_id` holds nothing any more."""

    worker_id: str
    shape: Shape


class Adopted(msgspec.Struct, frozen=True):
    """A worker was found to hold a task already: what it takes is taken, whether or not it would be placed so today."""

    worker_id: str
    shape: Shape


class WorkerJoined(msgspec.Struct, frozen=True):
    """A worker came, or says something new of itself. `is_open`: it takes new tasks."""

    info: WorkerInfo
    is_open: bool = True


class WorkerGone(msgspec.Struct, frozen=True):
    """A worker left or was lost, and its capacity with it."""

    worker_id: str


SchedulingEvent = Enqueued | Withdrawn | Ended | Adopted | WorkerJoined | WorkerGone


class Placement(msgspec.Struct, frozen=True):
    """A task goes to a worker; its resources are taken."""

    task: TaskId
    worker_id: str


class Scheduler:
    """Events in, placements out. `handle` only notes an event; `place` decides, once for any number of events."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.pool = Pool()
        self._placed = 0

    def handle(self, event: SchedulingEvent) -> None:
        """Note what happened."""
        match event:
            case Enqueued(task, shape, priority, order):
                self.queue.push(task, shape=shape, priority=priority, order=order)
            case Withdrawn(task):
                self.queue.remove(task)
            case Ended(worker_id, shape):
                self.pool.give_back(worker_id, shape.need)
            case Adopted(worker_id, shape):
                self.pool.take(worker_id, shape.need)
            case WorkerJoined(info, is_open):
                self.pool.put(info, is_open=is_open)
            case WorkerGone(worker_id):
                self.pool.remove(worker_id)

    def place(self) -> list[Placement]:
        """Everything that can start now: by priority, then age; a shape that does not fit does not hold up others."""
        placements: list[Placement] = []
        heads: list[tuple[int, int, int, Group]] = [
            (priority, order, number, group) for number, (priority, order, group) in enumerate(self.queue.heads())
        ]
        heapq.heapify(heads)
        while heads:
            priority, _, number, group = heads[0]
            worker_id = self.pool.best(group[0], salt=self._placed)
            if worker_id is None:
                heapq.heappop(heads)
                continue
            task = self.queue.pop(group)
            self.pool.take(worker_id, group[0].need)
            self._placed += 1
            placements.append(Placement(task, worker_id))
            head = self.queue.head(group)
            if head is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (priority, head[0], number, group))
        return placements
