"""Room that is kept for a task which does not fit yet, so that smaller ones cannot hold it off for ever.

The first task in order that some worker would take, but none can now, gets a worker: the one where the time limits of
what runs there free enough room earliest. Others may go there only where they end before that moment or leave its room.
"""

from __future__ import annotations

import msgspec
import numpy as np

from wasmgrid.scheduling.groups import Group, Groups
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.running import Running
from wasmgrid.scheduling.vectors import GPUS, Mask, Slots

COMPARED = 16  # workers whose running tasks are looked at for one reservation: those that lack least
LATE_S = 10.0  # past its moment: what runs there does not end, another worker may do better


class Reservation(msgspec.Struct, frozen=True):
    """The worker in `row` is kept for the oldest task of the group in `slot`, until `starts_at` at the latest.

    Kept from tasks of no higher `priority`.
    """

    slot: int
    row: int
    priority: int
    starts_at: float


class Reservations:
    """One for a group and one for a worker at most; in large pools several, so that big tasks need not queue for it."""

    def __init__(self, pool: Pool, groups: Groups, running: Running) -> None:
        self._pool, self._groups, self._running = pool, groups, running
        self._of_row: dict[int, Reservation] = {}
        self._of_slot: dict[int, Reservation] = {}

    def __len__(self) -> int:
        return len(self._of_row)

    @property
    def most(self) -> int:
        """How many there may be."""
        return 1 + len(self._pool) // 64

    def at(self, row: int) -> Reservation | None:
        """Who the worker in that row is kept for."""
        return self._of_row.get(row)

    def of(self, slot: int) -> Reservation | None:
        """What is kept for the group."""
        return self._of_slot.get(slot)

    def drop(self, reservation: Reservation) -> None:
        """The worker is kept no longer."""
        del self._of_row[reservation.row]
        del self._of_slot[reservation.slot]
        self._groups.reserved[reservation.slot] = False

    def late(self) -> list[Reservation]:
        """Those whose moment has passed."""
        now = self._pool.now
        return [each for each in self._of_row.values() if now > each.starts_at + LATE_S]

    def displaceable(self, priority: int) -> Reservation | None:
        """The one that goes where a task of this priority needs one and all are given away."""
        lowest = min(self._of_row.values(), key=lambda each: each.priority, default=None)
        return lowest if lowest is not None and lowest.priority < priority else None

    def make(self, group: Group) -> bool:
        """Keep a worker for the group, which has none. False: no open worker would ever take it, it is hopeless."""
        pool = self._pool
        able = pool.able(group.need.vector, group.suits, group.shape.time_limit_s)
        rows = (able & pool.is_open[: pool.size]).nonzero()[0]
        self._groups.hopeless[group.slot] = not rows.size
        starts = [(self._starts_at(group, row), row) for row in self._promising(group, rows)]
        starts = [(when, row) for when, row in starts if when + group.shape.time_limit_s <= pool.ends_at[row]]
        if starts:
            when, row = min(starts)
            if when != np.inf:
                made = Reservation(slot=group.slot, row=row, priority=group.priority, starts_at=when)
                self._of_row[row] = self._of_slot[group.slot] = made
                self._groups.reserved[group.slot] = True
        return bool(rows.size)

    def allows(self, reservation: Reservation, slots: Slots) -> Slots:
        """Those of `slots`, which fit now, that may go to the worker all the same; the one that it is kept for alone,
        where that fits and nothing of higher priority does."""
        groups, pool = self._groups, self._pool
        higher = groups.priority[slots] > reservation.priority
        own = slots == reservation.slot
        if own.any() and not higher.any():
            return np.array([reservation.slot], dtype=np.intp)
        short = groups.time_limit_s[slots] + pool.now <= reservation.starts_at
        allowed: Slots = slots[higher | own | short | self._leave_room(reservation, slots)]
        return allowed

    def _leave_room(self, reservation: Reservation, slots: Slots) -> Mask:
        """Which of `slots` may still run at that moment without being in the way."""
        owner = self._groups[reservation.slot]
        spare = self._running.room_at(self._pool, reservation.row, reservation.starts_at) - owner.need.vector
        if owner.need.vector[GPUS]:
            spare[GPUS] = 0  # which of the GPUs are of the wanted kind is not counted ahead
        fits: Mask = np.all(self._groups.need[:, slots] <= spare[:, None], axis=0)
        return fits

    def _promising(self, group: Group, rows: Slots) -> list[int]:
        """The workers that lack least of what the group needs: neither kept for others nor, if possible, avoided."""
        pool = self._pool
        avoided = {pool.row(worker_id) for worker_id in group.avoid}
        free = [row for row in rows.tolist() if row not in self._of_row]
        wanted = [row for row in free if row not in avoided] or free
        if len(wanted) <= COMPARED:
            return wanted
        chosen = np.array(wanted, dtype=np.intp)
        lack = (group.need.vector[:, None] - pool.room[:, chosen]) / np.maximum(pool.capacity[:, chosen], 1)
        least: list[int] = chosen[np.argpartition(lack.max(axis=0), COMPARED)[:COMPARED]].tolist()
        return least

    def _starts_at(self, group: Group, row: int) -> float:
        """When the time limits of what runs in that row leave enough for the group; infinity: never."""
        pool, now = self._pool, self._pool.now
        room = pool.room[:, row].copy()
        gpus_free = int(pool.gpus.free.table[row, group.gpus])
        such = pool.gpus.such(row, group.gpu_kind)
        needed_gpus, when = group.shape.need.gpus, now
        waiting = sorted(self._running.at(row), key=lambda held: held.due_at(now), reverse=True)
        while (room < group.need.vector).any() or gpus_free < needed_gpus:
            if not waiting:
                return float("inf")
            held = waiting.pop()
            when = held.due_at(now)
            room += held.need.vector
            gpus_free += sum(index in such for index in held.gpus)
        return when
