"""What waits, as vectors: tasks that differ in nothing but age are one group, one column of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import lt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wasmgrid.scheduling.gpus import Kind
from wasmgrid.scheduling.matching import sort_of
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.shape import Shape
from wasmgrid.scheduling.vectors import FEW, GPUS, IMPOSSIBLE, KINDS, Floats, Mask, Need, Slots, Vector, need_of

if TYPE_CHECKING:
    from wasmgrid.scheduling.queue import Run

Key = tuple[int, int, Shape, frozenset[str]]  # priority, tenant's number, shape, workers to avoid


@dataclass(slots=True, eq=False)
class Group:
    """Waiting tasks of one priority, tenant (by number), shape and workers to avoid, oldest first in `runs`.

    `suits`, `preferred`, `prepared` and `gpus` are columns of the pool.
    """

    slot: int
    key: Key
    priority: int
    tenant: int
    shape: Shape
    avoid: frozenset[str]
    need: Need
    gpu_kind: Kind
    suits: int
    preferred: int
    prepared: int
    gpus: int
    runs: list[Run] = field(default_factory=list)


class Groups:
    """The groups that have something waiting, by slot. An empty slot needs the impossible, so that it fits nowhere.

    `hopeless` are those which no open worker would ever take, as far as somebody looked, `reserved` those that have a
    worker reserved, `avoiding` those that avoid one.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._slots: dict[Key, int] = {}
        self._spare: list[int] = []
        self._groups: list[Group | None] = []
        self._priorities: dict[int, int] = {}
        self._least: list[int] | None = None
        self.avoiding: set[int] = set()
        self.need: Vector = np.full((KINDS, FEW), IMPOSSIBLE, dtype=np.int64)
        self.suits: Slots = np.zeros(FEW, dtype=np.intp)
        self.gpus: Slots = np.zeros(FEW, dtype=np.intp)
        self.time_limit_s: Floats = np.zeros(FEW)
        self.priority: Vector = np.zeros(FEW, dtype=np.int64)
        self.tenant: Slots = np.zeros(FEW, dtype=np.intp)
        self.age: Vector = np.zeros(FEW, dtype=np.int64)
        self.waiting: Mask = np.zeros(FEW, dtype=np.bool_)
        self.hopeless: Mask = np.zeros(FEW, dtype=np.bool_)
        self.reserved: Mask = np.zeros(FEW, dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, slot: int) -> Group:
        group = self._groups[slot]
        if group is None:
            raise KeyError(slot)
        return group

    def find(self, key: Key) -> int | None:
        """The slot of the group, or None where nothing of it waits."""
        return self._slots.get(key)

    def of_shape(self, shape: Shape) -> list[int]:
        """The slots of the groups of this shape."""
        return [slot for key, slot in self._slots.items() if key[2] == shape]

    def add(self, key: Key) -> Group:
        """A group begins to wait; `set_age` must follow."""
        slot = self._spare.pop() if self._spare else len(self._groups)
        if slot == len(self._groups):
            self._groups.append(None)
            if slot == len(self.waiting):
                self._grow(2 * slot)
        priority, tenant, shape, avoid = key
        pool, kind = self._pool, (shape.gpu_model, shape.gpu_memory_mb) if shape.need.gpus else (None, 0)
        group = self._groups[slot] = Group(
            slot=slot,
            key=key,
            priority=priority,
            tenant=tenant,
            shape=shape,
            avoid=avoid,
            need=need_of(shape.need),
            gpu_kind=kind,
            suits=pool.suits.acquire(sort_of(shape)),
            preferred=pool.preferred.acquire(shape.prefer),
            prepared=pool.prepared.acquire(shape.toolchain),
            gpus=pool.gpus.free.acquire(kind),
        )
        self._slots[key] = slot
        self._priorities[priority] = self._priorities.get(priority, 0) + 1
        if avoid:
            self.avoiding.add(slot)
        self.need[:, slot] = group.need.vector
        self._least = None
        self.suits[slot], self.gpus[slot], self.time_limit_s[slot] = group.suits, group.gpus, shape.time_limit_s
        self.priority[slot], self.tenant[slot] = priority, tenant
        self.waiting[slot], self.hopeless[slot] = True, False
        return group

    def drop(self, group: Group) -> None:
        """Nothing of the group waits any more."""
        slot, priority = group.slot, group.priority
        self.need[:, slot] = IMPOSSIBLE
        self._least = None
        self.waiting[slot] = False
        self.avoiding.discard(slot)
        self._priorities[priority] -= 1
        if not self._priorities[priority]:
            del self._priorities[priority]
        pool = self._pool
        pool.suits.release(group.suits)
        pool.preferred.release(group.preferred)
        pool.prepared.release(group.prepared)
        pool.gpus.free.release(group.gpus)
        del self._slots[group.key]
        self._groups[slot] = None
        self._spare.append(slot)

    def fitting(self, row: int) -> Slots:
        """The groups that the worker in this row could take now: amounts, sort, GPUs, and its remaining life."""
        pool, size = self._pool, len(self._groups)
        fits = np.logical_and.reduce(self.need[:, :size] <= pool.room[:, row, None])
        slots = fits.nonzero()[0]
        slots = slots[pool.suits.table[row].take(self.suits.take(slots)) > 0]
        if slots.size and pool.ends_at[row] != np.inf:
            slots = slots[self.time_limit_s[slots] <= pool.ends_at[row] - pool.now]
        return self.with_gpus(slots, row)

    def still_fitting(self, slots: Slots, row: int) -> Slots:
        """Those of `slots`, which fitted before, that fit after the worker was given more."""
        room = self._pool.room[:, row]
        if any(map(lt, room.tolist(), self._least_needed())):
            return slots[:0]
        fits = np.logical_and.reduce(self.need.take(slots, axis=1) <= room[:, None])
        return self.with_gpus(slots[fits], row)

    def with_gpus(self, slots: Slots, row: int) -> Slots:
        """Those of `slots` for which the worker has enough free GPUs of the wanted kind."""
        pool = self._pool
        if not slots.size or not pool.has_gpus(row):
            return slots
        enough: Slots = slots[pool.gpus.free.table[row].take(self.gpus[slots]) >= self.need[GPUS, slots]]
        return enough

    def fitting_any(self, rows: Slots) -> Slots:
        """The groups whose amounts may fit one of these workers; those left out fit none of them."""
        most = self._pool.room[:, rows].max(axis=1)
        fits: NDArray[np.bool_] = (self.need[:, : len(self._groups)] <= most[:, None]).all(axis=0)
        return fits.nonzero()[0]

    def give_hope(self, row: int) -> None:
        """A worker came or changed: what it could take when idle is not hopeless any more."""
        pool, size = self._pool, len(self._groups)
        able = (self.need[:, :size] <= pool.capacity[:, row, None]).all(axis=0)
        able &= pool.suits.table[row].take(self.suits[:size]) > 0
        self.hopeless[:size] &= ~able

    def unreserved(self) -> Slots:
        """The groups that wait, may be taken some day, and have no worker reserved."""
        size = len(self._groups)
        return (self.waiting[:size] & ~self.hopeless[:size] & ~self.reserved[:size]).nonzero()[0]

    def first(self, slots: Slots, shares: Floats) -> int:
        """The first of `slots` in order: by priority, then the tenant's share, then age. `slots` is not empty."""
        if len(self._priorities) > 1:
            priority = self.priority.take(slots)
            slots = slots[priority == np.maximum.reduce(priority)]
        share = shares.take(self.tenant.take(slots))
        slots = slots[share == np.minimum.reduce(share)]
        return int(slots[self.age.take(slots).argmin()])

    def _least_needed(self) -> list[int]:
        """The least of each resource that any group needs: where there is not as much, nothing fits."""
        if self._least is None:
            self._least = self.need.min(axis=1).tolist()
        return self._least

    def _grow(self, slots: int) -> None:
        more = slots - len(self.waiting)
        self.need = np.pad(self.need, ((0, 0), (0, more)), constant_values=IMPOSSIBLE)
        for name in ("suits", "gpus", "time_limit_s", "priority", "tenant", "age", "waiting", "hopeless", "reserved"):
            setattr(self, name, np.pad(getattr(self, name), (0, more)))
