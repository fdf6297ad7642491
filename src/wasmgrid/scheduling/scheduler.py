"""Joins what waits with what is free."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.events import (
    Adopted,
    Chunked,
    Ended,
    Enqueued,
    ModuleCached,
    Placement,
    SchedulingEvent,
    Withdrawn,
    WorkerGone,
    WorkerJoined,
)
from wasmgrid.scheduling.placing import Placing
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.queue import Queue
from wasmgrid.scheduling.ranking import Policy
from wasmgrid.scheduling.running import Held, Running
from wasmgrid.scheduling.shape import Shape
from wasmgrid.scheduling.shares import Shares
from wasmgrid.scheduling.vectors import need_of

__all__ = ["Policy", "Scheduler"]


class Scheduler:
    """Events in, placements out. `handle` only notes an event; `place` decides, once for any number of events.

    `now` is any clock that does not go back, in seconds, and the same for all. `policy` is best_fit (fill workers up)
    or spread; `weights` are the tenants' (1 where none is given; ValueError where one is not above 0).
    """

    def __init__(self, *, policy: Policy = "best_fit", weights: Mapping[str, float] | None = None) -> None:
        self.pool = Pool()
        self.queue = Queue(self.pool)
        self.running = Running()
        self.shares = Shares(weights or {})
        self._placing = Placing(self.pool, self.queue, self.running, self.shares, policy)
        self.reservations = self._placing.reservations

    def handle(self, event: SchedulingEvent, now: float) -> None:
        """Note what happened."""
        self.pool.now = now
        match event:
            case Ended(task):
                self._placing.end(task)
            case Enqueued():
                self._enqueue(event)
            case Withdrawn(task, count):
                self._withdraw(task, count)
            case Chunked(task, size):
                self.queue.chunk(task, size)
            case Adopted():
                self._adopt(event)
            case WorkerJoined():
                self._join(event)
            case ModuleCached(worker_id, module):
                row = self.pool.row(worker_id)
                if row is not None:
                    self.pool.modules.add(row, module)
            case WorkerGone(worker_id):
                self._lose(worker_id)

    def place(self, now: float) -> list[Placement]:
        """Everything that can start now.

        In order: by priority, then by the tenant's share, then by age. What does not fit holds up nobody, but for the
        worker that is kept for it.
        """
        self.pool.now = now
        return self._placing.run()

    def fits_now(self, worker_id: str, shape: Shape, gpus: tuple[int, ...]) -> bool:
        """Whether the worker is there and has that free, these GPUs included."""
        row = self.pool.row(worker_id)
        if row is None or (self.pool.room[:, row] < need_of(shape.need).vector).any():
            return False
        return not set(gpus) & set(self.pool.gpus.used(row))

    def gpus_free(self, worker_id: str, shape: Shape) -> int:
        """How many of the worker's GPUs are free and such as `shape` wants; any where it wants none."""
        row = self.pool.row(worker_id)
        return 0 if row is None else len(self.pool.gpus.pick(row, (shape.gpu_model, shape.gpu_memory_mb), None))

    def kept_for(self, worker_id: str, shape: Shape) -> TaskId | None:
        """The task that the worker is kept for, where that is why it takes none of `shape` now."""
        row = self.pool.row(worker_id)
        kept = None if row is None else self.reservations.at(row)
        if kept is None or row is None:
            return None
        groups = self.queue.groups
        slots = np.array(groups.of_shape(shape), dtype=np.intp)
        if slots.size and self.reservations.allows(kept, groups.with_gpus(slots, row)).size:
            return None
        run = self.queue.head(groups[kept.slot])
        return TaskId(run.kind, run.job, run.first)

    def place_kept(self, shape: Shape) -> tuple[str, float] | None:
        """(the worker that is kept for a task of `shape`, the seconds until it is free at the latest), or None."""
        for slot in self.queue.groups.of_shape(shape):
            kept = self.reservations.of(slot)
            if kept is not None:
                return self.pool.info_at(kept.row).id, kept.starts_at - self.pool.now
        return None

    def _enqueue(self, event: Enqueued) -> None:
        key = (event.priority, self.shares.number(event.tenant), event.shape, event.avoid)
        began = self.queue.push(event.task, key=key, order=event.order, module=event.module, count=event.count)
        if began is not None:
            self._placing.fresh.add(began)

    def _withdraw(self, task: TaskId, count: int = 1) -> None:
        for emptied in self.queue.remove(task, count):
            self._placing.unreserve(emptied.slot)

    def _adopt(self, event: Adopted) -> None:
        self._withdraw(event.task)
        self._placing.end(event.task)
        row = self.pool.row(event.worker_id)
        if row is None:
            return
        need, tenant = need_of(event.shape.need), self.shares.number(event.tenant)
        self.pool.take(row, need.vector, event.gpus)
        self.shares.take(tenant, need.numbers)
        self.running.add(event.task, Held(row, need, tenant, event.gpus, self.pool.now + event.shape.time_limit_s))

    def _join(self, event: WorkerJoined) -> None:
        row = self.pool.put(event.info, closed=event.closed, ends_at=event.ends_at, modules=event.modules)
        self.shares.size_pool(self.pool.totals)
        self._stop_keeping(row)
        if self.pool.is_open[row]:
            self.queue.groups.give_hope(row)
            self._placing.freed.add(row)

    def _lose(self, worker_id: str) -> None:
        row = self.pool.row(worker_id)
        if row is None:
            return
        self._stop_keeping(row)
        for held in self.running.clear(row):
            self.shares.give_back(held.tenant, held.need.numbers)
        self.pool.remove(worker_id)
        self.shares.size_pool(self.pool.totals)
        self._placing.freed.discard(row)

    def _stop_keeping(self, row: int) -> None:
        kept = self.reservations.at(row)
        if kept is not None:
            self._placing.unreserve(kept.slot)
