"""What the workers have free, as vectors: feasibility over all of them is a few numpy operations."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.columns import Columns
from wasmgrid.scheduling.gpus import Gpus
from wasmgrid.scheduling.matching import sort_of, unsuitable
from wasmgrid.scheduling.modules import Modules
from wasmgrid.scheduling.shape import Pairs, Shape
from wasmgrid.scheduling.vectors import FEW, GPUS, KINDS, Floats, Mask, Vector, need_of, resources_of

REMEMBERED = 1000  # shapes


class Pool:
    """The workers, one per row. Rows of workers that left are used again.

    People ask by id (`info`, `closed`, `free`, ...); this package compares by row: `room[:, row]` is what is free there
    (negative where a worker shrank under its tasks), `capacity[:, row]` what it has altogether, `is_open`
    whether it takes new tasks, `ends_at` when it means to leave (infinity: never), `running` how many tasks it has.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.size = 0  # rows in use are below this
        self.totals = [0] * KINDS
        self.room: Vector = np.full((KINDS, FEW), -1, dtype=np.int64)
        self.capacity: Vector = np.full((KINDS, FEW), -1, dtype=np.int64)
        self.running: Vector = np.zeros(FEW, dtype=np.int64)
        self.is_open: Mask = np.zeros(FEW, dtype=np.bool_)
        self.ends_at: Floats = np.full(FEW, np.inf)
        self._row_of: dict[str, int] = {}
        self._able: dict[Shape, bool] = {}  # whether somebody could ever take it, until the pool changes
        self._spare: list[int] = []
        self._infos: list[WorkerInfo | None] = [None] * FEW
        self._closed: list[str] = [""] * FEW
        self.suits: Columns[Shape] = Columns(self._suits, self._rows)
        self.preferred: Columns[Pairs] = Columns(self._preferred, self._rows)
        self.prepared: Columns[str | None] = Columns(self._prepared, self._rows)
        self.gpus = Gpus(self._rows)
        self.modules = Modules()

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._row_of

    def __len__(self) -> int:
        return len(self._row_of)

    def infos(self) -> list[WorkerInfo]:
        """Every worker, in the order in which they joined."""
        return [self.info_at(row) for row in self._row_of.values()]

    def info(self, worker_id: str) -> WorkerInfo:
        """What the worker says of itself; KeyError where it is not in the pool."""
        return self.info_at(self._row_of[worker_id])

    def closed(self, worker_id: str) -> str:
        """Why the worker takes no new tasks; empty where it does."""
        return self._closed[self._row_of[worker_id]]

    def free(self, worker_id: str) -> Resources:
        """What is not taken of the worker's capacity; negative where it shrank under its tasks."""
        return resources_of(self.room[:, self._row_of[worker_id]])

    def gpus_used(self, worker_id: str) -> list[int]:
        """The indexes of the worker's GPUs that tasks have."""
        return self.gpus.used(self._row_of[worker_id])

    def remaining_s(self, worker_id: str) -> float:
        """How long the worker still stays; infinity where it never said that it leaves."""
        return float(self.ends_at[self._row_of[worker_id]]) - self.now

    def ever_fits(self, shape: Shape) -> bool:
        """Whether some worker, open or not, would take `shape` when it is idle, and stay for its time limit."""
        known = self._able.get(shape)
        if known is None:
            column = self.suits.acquire(sort_of(shape))
            fits = self.able(need_of(shape.need).vector, column, shape.time_limit_s)
            self.suits.release(column)
            known = bool(fits.any())
            if not np.isfinite(self.ends_at[: self.size]).any():  # else it depends on the time
                if len(self._able) >= REMEMBERED:
                    self._able.clear()
                self._able[shape] = known
        return known

    def able(self, need: Vector, suits: int, time_limit_s: float) -> Mask:
        """Which workers could take it when idle, by row; those that are closed too."""
        rows = slice(0, self.size)
        fits = self.suits.table[rows, suits] > 0
        for capacity, amount in zip(self.capacity[:, rows], need, strict=True):
            fits &= capacity >= amount
        fits &= self.ends_at[rows] - self.now >= time_limit_s
        return fits

    def nearest(self, shape: Shape, count: int) -> list[WorkerInfo]:
        """The workers that could take `shape` soonest, by what they lack now; those that never could come last."""
        column = self.suits.acquire(sort_of(shape))
        need, rows = need_of(shape.need).vector, slice(0, self.size)
        lack = ((need[:, None] - self.room[:, rows]) / np.maximum(self.capacity[:, rows], 1)).max(axis=0)
        lack += 1e6 * ~self.is_open[rows] + 1e9 * ~self.able(need, column, shape.time_limit_s)
        self.suits.release(column)
        lack[self.capacity[0, rows] < 0] = np.inf
        return [self.info_at(row) for row in lack.argsort()[:count] if lack[row] < np.inf]

    def row(self, worker_id: str) -> int | None:
        """The worker's row, or None where it is not in the pool."""
        return self._row_of.get(worker_id)

    def among(self, rows: Collection[int]) -> Mask:
        """Which of all rows are these."""
        mask: Mask = np.zeros(self.size, dtype=np.bool_)
        mask[list(rows)] = True
        return mask

    def info_at(self, row: int) -> WorkerInfo:
        """The worker in that row; KeyError where there is none."""
        info = self._infos[row]
        if info is None:
            raise KeyError(row)
        return info

    def put(self, info: WorkerInfo, *, closed: str, ends_at: float | None, modules: tuple[str, ...] | None) -> int:
        """Add a worker, or change what it says of itself; what its tasks take stays taken. Gives its row."""
        self._able.clear()
        row = self._row_of.get(info.id)
        capacity = need_of(info.capacity).vector
        if row is None:
            row = self._row_of[info.id] = self._new_row()
            self.room[:, row] = 0
            self.capacity[:, row] = 0
        added = capacity - self.capacity[:, row]
        self.room[:, row] += added
        self.capacity[:, row] = capacity
        self._resize(added)
        self.is_open[row] = not closed
        self.ends_at[row] = np.inf if ends_at is None else ends_at
        self._closed[row] = closed
        known, self._infos[row] = self._infos[row], info
        if known != info:
            for columns in (self.suits, self.preferred, self.prepared):
                columns.refresh(row)
            self.gpus.put(row, info)
        if modules is not None:
            self.modules.put(row, modules)
        return row

    def remove(self, worker_id: str) -> int | None:
        """Take a worker out; its row, or None where it was not in the pool."""
        row = self._row_of.pop(worker_id, None)
        if row is None:
            return None
        self._able.clear()
        self._resize(-self.capacity[:, row])
        self.room[:, row] = self.capacity[:, row] = -1
        self.running[row], self.is_open[row], self._infos[row], self._closed[row] = 0, False, None, ""
        for columns in (self.suits, self.preferred, self.prepared):
            columns.clear(row)
        self.gpus.clear(row)
        self.modules.clear(row)
        self._spare.append(row)
        return row

    def take(self, row: int, need: Vector, gpus: tuple[int, ...]) -> None:
        """A task now uses `need` of the worker, these GPUs among it."""
        self.room[:, row] -= need
        self.running[row] += 1
        if gpus:
            self.gpus.take(row, gpus)

    def give_back(self, row: int, need: Vector, gpus: tuple[int, ...]) -> None:
        """A task uses it no more."""
        self.room[:, row] += need
        self.running[row] -= 1
        if gpus:
            self.gpus.give_back(row, gpus)

    def has_gpus(self, row: int) -> bool:
        """Whether the worker has any GPU."""
        return bool(self.capacity[GPUS, row] > 0)

    def _rows(self) -> Iterator[int]:
        return iter(self._row_of.values())

    def _new_row(self) -> int:
        if self._spare:
            return self._spare.pop()
        row, self.size = self.size, self.size + 1
        if row == len(self.running):
            self._grow(2 * row)
        return row

    def _grow(self, rows: int) -> None:
        """Double everything: so a worker's joining costs the same however many there are."""
        more = rows - len(self.running)
        self.room = np.pad(self.room, ((0, 0), (0, more)), constant_values=-1)
        self.capacity = np.pad(self.capacity, ((0, 0), (0, more)), constant_values=-1)
        self.running = np.pad(self.running, (0, more))
        self.is_open = np.pad(self.is_open, (0, more))
        self.ends_at = np.pad(self.ends_at, (0, more), constant_values=np.inf)
        self._infos.extend([None] * more)
        self._closed.extend([""] * more)
        for columns in (self.suits, self.preferred, self.prepared):
            columns.grow(rows)
        self.gpus.grow(rows)
        self.modules.grow(rows)

    def _resize(self, added: Vector) -> None:
        self.totals = [total + int(more) for total, more in zip(self.totals, added, strict=True)]

    def _suits(self, sort: Shape, row: int) -> int:
        return not unsuitable(sort, self.info_at(row))

    def _preferred(self, pairs: Pairs, row: int) -> int:
        labels = self.info_at(row).labels
        return sum(labels.get(key) == value for key, value in pairs)

    def _prepared(self, identity: str | None, row: int) -> int:
        """Whether a build's toolchain needs no installation there; runs need none anywhere."""
        toolchains = self.info_at(row).toolchains
        return identity is None or any(each.identity == identity and each.ready for each in toolchains)
