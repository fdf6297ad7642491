"""One look at what changed since the last: who goes where.

What waited before the last look fits on no worker that did not change since. So only workers with new room are compared
with everything that waits, and only groups that are new with every worker.
"""

from __future__ import annotations

from operator import lt

import numpy as np

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.events import Placement
from wasmgrid.scheduling.groups import Group
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.pouring import Pouring
from wasmgrid.scheduling.queue import Queue
from wasmgrid.scheduling.ranking import Policy
from wasmgrid.scheduling.reservation import Reservations
from wasmgrid.scheduling.running import Held, Running
from wasmgrid.scheduling.shares import Shares
from wasmgrid.scheduling.vectors import Slots

SMALL_POOL = 4  # workers
LOOK_S = 1.0  # a reservation is considered at least so often while tasks are placed


class Placing:
    """Holds what changed (`freed` rows, `fresh` groups) until `run` has placed whatever that allows."""

    def __init__(self, pool: Pool, queue: Queue, running: Running, shares: Shares, policy: Policy) -> None:
        self.pool, self.queue, self.running, self.shares, self.policy = pool, queue, running, shares, policy
        self.groups = queue.groups
        self.reservations = Reservations(pool, queue.groups, running)
        self.freed: set[int] = set()
        self.fresh: set[int] = set()
        self.placements: list[Placement] = []
        self.placed = 0
        self._since_look = 0
        self._looked_at = float("-inf")

    def run(self) -> list[Placement]:
        """Everything that can start now."""
        self.shares.settle()
        while self.freed or self.fresh:
            if not len(self.queue):
                self.freed.clear()
                self.fresh.clear()
            elif len(self.freed) == 1 and not self.fresh:
                self._fill(self.freed.pop())
            elif len(self.groups) == len(self.fresh) == 1 and self._is_plain(next(iter(self.fresh))):
                self.freed.clear()
                self.fresh.clear()
            else:
                freed, fresh = self.freed, self.fresh
                self.freed, self.fresh = set(), set()
                Pouring(self, freed, fresh).run()
        placements, self.placements = self.placements, []
        return placements

    def put(self, slot: int, row: int) -> None:
        """The oldest task of the group goes to the worker in that row, where it fits, with those that go with it."""
        group = self.groups[slot]
        pool, need, shape = self.pool, group.need, group.shape
        task, count = self.queue.pop(group)
        if task in self.running:  # told to wait again while it was held
            self.end(task)
        gpus = pool.gpus.pick(row, group.gpu_kind, shape.need.gpus) if shape.need.gpus else ()
        pool.take(row, need.vector, gpus)
        self.shares.take(group.tenant, need.numbers)
        self.running.add(task, Held(row, need, group.tenant, gpus, pool.now + shape.time_limit_s))
        self.placements.append(Placement(task, pool.info_at(row).id, gpus, count))
        self.placed += 1
        self._since_look += 1
        if len(self.reservations):
            self.settle_reservations(slot, row, group.priority)

    def end(self, task: TaskId) -> None:
        """What the task holds, if anything, is free again."""
        held = self.running.pop(task)
        if held is not None:
            self.pool.give_back(held.row, held.need.vector, held.gpus)
            self.shares.give_back(held.tenant, held.need.numbers)
            self.freed.add(held.row)

    def unreserve(self, slot: int) -> None:
        """The group has no worker reserved any more: it got one, or waits no longer."""
        reservation = self.reservations.of(slot)
        if reservation is not None:
            self.reservations.drop(reservation)
            self.freed.add(reservation.row)

    def settle_reservations(self, slot: int, row: int, priority: int) -> None:
        """A task of the group went to that row: its reservation is used, one of lower priority there is void."""
        self.unreserve(slot)
        there = self.reservations.at(row)
        if there is not None and there.priority < priority:
            self.unreserve(there.slot)

    def is_time_to_look(self) -> bool:
        """Whether a reservation should be considered: in small pools always, in large ones after some placements."""
        due = self._since_look >= len(self.pool) // 8 or self.pool.now - self._looked_at >= LOOK_S
        if due:
            self._since_look, self._looked_at = 0, self.pool.now
            for reservation in self.reservations.late():
                self.unreserve(reservation.slot)
        return due

    def reserve(self, slot: int) -> bool:
        """Keep a worker for the group, which is first in order and fits nowhere; False where it is hopeless."""
        reservations, group = self.reservations, self.groups[slot]
        if len(reservations) >= reservations.most:
            lower = reservations.displaceable(group.priority)
            if lower is None:
                return True
            self.unreserve(lower.slot)
        return reservations.make(group)

    def reserve_first(self, fitting: Slots) -> None:
        """Keep a worker for the first task in order, unless that is one of `fitting`, which can be placed now."""
        while (waiting := self.groups.unreserved()).size:
            first = self.groups.first(waiting, self.shares.now)
            if (fitting == first).any() or self.reserve(first):
                return

    def shunned(self, group: Group) -> list[int]:
        """The rows that the group avoids; none where no other open worker could ever take it."""
        pool = self.pool
        rows = sorted(row for worker_id in group.avoid if (row := pool.row(worker_id)) is not None)
        if rows:
            able = pool.able(group.need.vector, group.suits, group.shape.time_limit_s) & pool.is_open[: pool.size]
            able[rows] = False
            return rows if able.any() else []
        return rows

    def _fill(self, row: int) -> None:
        """One worker has new room: give it the first tasks in order that fit there, those that avoid it last."""
        if not self.pool.is_open[row]:
            return
        fitting = self.groups.fitting(row)
        if not fitting.size:
            return
        if self.is_time_to_look():
            self.reserve_first(fitting)
        shunning: list[int] = []
        if self.groups.avoiding:
            worker_id = self.pool.info_at(row).id
            avoiding = (slot for slot in fitting.tolist() if slot in self.groups.avoiding)
            here = (slot for slot in avoiding if worker_id in self.groups[slot].avoid)
            shunning = [slot for slot in here if self.shunned(self.groups[slot])]
        if not shunning:
            self._fill_with(fitting, row)
            return
        self._fill_with(fitting[~np.isin(fitting, shunning)], row)
        self._fill_with(self.groups.still_fitting(np.array(shunning, dtype=np.intp), row), row)

    def _is_plain(self, slot: int) -> bool:
        """Place the one group that waits where that needs no choice: in a small pool, one worker alone can take it.

        True where all of it is placed. A grid of a few machines, whose jobs come one by one, has nothing else to do;
        plain numbers are a tenth of what as many vectors of length one cost.
        """
        pool = self.pool
        if pool.size > SMALL_POOL or len(self.reservations) or not self.groups.waiting[slot]:
            return False
        group = self.groups[slot]
        if group.avoid or group.shape.need.gpus:
            return False
        while group.runs:
            rows = [row for row in range(pool.size) if pool.is_open[row] and self._takes(row, group)]
            if len(rows) != 1:
                return False
            self.put(slot, rows[0])
        return True

    def _takes(self, row: int, group: Group) -> bool:
        """Whether the worker has room for a task of the group now."""
        pool = self.pool
        if any(map(lt, pool.room[:, row].tolist(), group.need.numbers)) or not pool.suits.table[row, group.suits]:
            return False
        return bool(pool.ends_at[row] - pool.now >= group.shape.time_limit_s)

    def _fill_with(self, fitting: Slots, row: int) -> None:
        while fitting.size:
            reservation = self.reservations.at(row)
            allowed = fitting if reservation is None else self.reservations.allows(reservation, fitting)
            if not allowed.size:
                return
            self.put(self.groups.first(allowed, self.shares.now), row)
            fitting = self.groups.still_fitting(fitting, row)
