"""Joins what waits with what is free."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Literal

from wasmgrid.core.job import TaskId
from wasmgrid.core.resources import Resources
from wasmgrid.scheduling.events import (
    Adopted,
    Ended,
    Enqueued,
    ModuleCached,
    Placement,
    SchedulingEvent,
    Withdrawn,
    WorkerGone,
    WorkerJoined,
)
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.queue import Group, Queue
from wasmgrid.scheduling.shape import Shape

__all__ = [
    "Adopted",
    "Ended",
    "Enqueued",
    "ModuleCached",
    "Placement",
    "Policy",
    "Scheduler",
    "SchedulingEvent",
    "Withdrawn",
    "WorkerGone",
    "WorkerJoined",
]

Policy = Literal["best_fit", "spread"]


class Scheduler:
    """Events in, placements out. `handle` only notes an event; `place` decides, once for any number of events."""

    def __init__(self, *, policy: Policy = "best_fit", weights: Mapping[str, float] | None = None) -> None:
        self.queue = Queue()
        self.pool = Pool()
        self.policy = policy
        self.weights = dict(weights or {})
        self._held: dict[TaskId, tuple[str, Resources, tuple[int, ...]]] = {}
        self._placed = 0

    def handle(self, event: SchedulingEvent, now: float) -> None:  # noqa: ARG002
        """Note what happened."""
        match event:
            case Enqueued(task=task, count=count):
                for index in range(task.index, task.index + count):
                    each = TaskId(task.kind, task.id, index)
                    self.queue.push(each, shape=event.shape, priority=event.priority, order=event.order)
            case Withdrawn(task):
                self.queue.remove(task)
            case Ended(task):
                if task in self._held:
                    self.pool.give_back(*self._held.pop(task))
            case Adopted(task, worker_id, shape, _, gpus):
                self.queue.remove(task)
                if worker_id in self.pool:
                    self._take(task, worker_id, shape.need, gpus)
            case WorkerJoined(info, closed):
                self.pool.put(info, closed=closed)
            case ModuleCached():
                pass
            case WorkerGone(worker_id):
                self.pool.remove(worker_id)
                self._held = {task: held for task, held in self._held.items() if held[0] != worker_id}

    def fits_now(self, worker_id: str, shape: Shape, gpus: tuple[int, ...]) -> bool:
        """Whether the worker has that free, and these GPUs."""
        taken = self.pool.gpus_used(worker_id)
        return shape.need.fits_in(self.pool.free(worker_id)) and not any(index in taken for index in gpus)

    def place(self, now: float) -> list[Placement]:  # noqa: ARG002
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
            need = group[0].need
            gpus = tuple(self.pool.free_gpus(worker_id, group[0])[: need.gpus])
            self._take(task, worker_id, need, gpus)
            self._placed += 1
            placements.append(Placement(task, worker_id, gpus))
            head = self.queue.head(group)
            if head is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (priority, head[0], number, group))
        return placements

    def _take(self, task: TaskId, worker_id: str, need: Resources, gpus: tuple[int, ...]) -> None:
        if task in self._held:
            self.pool.give_back(*self._held.pop(task))
        self.pool.take(worker_id, need, gpus)
        self._held[task] = (worker_id, need, gpus)
