"""Which GPU of which worker is whose: by index, never to two tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wasmgrid.core.worker import Gpu, WorkerInfo, gpu_matches
from wasmgrid.scheduling.columns import Columns
from wasmgrid.scheduling.vectors import FEW

Kind = tuple[str | None, int]  # model, memory_mb of what is wanted
ANY: Kind = (None, 0)


class Gpus:
    """The GPUs of every worker. `free.table[row, column]` counts the free ones of a kind; column 0 is of any kind."""

    def __init__(self, rows: Callable[[], Iterable[int]]) -> None:
        self.free: Columns[Kind] = Columns(self._count, rows)
        self._there: list[list[Gpu]] = [[] for _ in range(FEW)]
        self._used: list[dict[int, int]] = [{} for _ in range(FEW)]
        self._such: list[dict[Kind, tuple[int, ...]]] = [{} for _ in range(FEW)]
        self.free.acquire(ANY)

    def grow(self, rows: int) -> None:
        """Have room for so many workers."""
        more = range(rows - len(self._there))
        self._there.extend([] for _ in more)
        self._used.extend({} for _ in more)
        self._such.extend({} for _ in more)
        self.free.grow(rows)

    def put(self, row: int, info: WorkerInfo) -> None:
        """The worker has these GPUs now; those that tasks have stay theirs."""
        self._there[row] = info.gpus
        self._such[row] = {}
        self.free.refresh(row)

    def clear(self, row: int) -> None:
        """There is no worker in that row any more."""
        self._there[row], self._used[row], self._such[row] = [], {}, {}
        self.free.clear(row)

    def take(self, row: int, indexes: tuple[int, ...]) -> None:
        """A task has these now. (An adopted one may claim what another has: both must give it back.)"""
        used = self._used[row]
        for index in indexes:
            used[index] = used.get(index, 0) + 1
        self.free.refresh(row)

    def give_back(self, row: int, indexes: tuple[int, ...]) -> None:
        """The task has them no more."""
        used = self._used[row]
        for index in indexes:
            used[index] -= 1
            if not used[index]:
                del used[index]
        self.free.refresh(row)

    def used(self, row: int) -> list[int]:
        """The indexes that tasks have, in order."""
        return sorted(self._used[row])

    def pick(self, row: int, kind: Kind, count: int | None) -> tuple[int, ...]:
        """`count` free ones of that kind (None: all), those with the least memory first."""
        used = self._used[row]
        return tuple([index for index in self.such(row, kind) if index not in used][:count])

    def such(self, row: int, kind: Kind) -> tuple[int, ...]:
        """The indexes of the worker's GPUs of that kind, taken or not, those with the least memory first."""
        known = self._such[row].get(kind)
        if known is None:
            model, memory_mb = kind
            matching = [gpu for gpu in self._there[row] if gpu_matches(gpu, model=model, memory_mb=memory_mb)]
            matching.sort(key=lambda gpu: (gpu.memory_mb, gpu.index))
            known = self._such[row][kind] = tuple(gpu.index for gpu in matching)
        return known

    def _count(self, kind: Kind, row: int) -> int:
        if not self._there[row]:
            return 0
        used = self._used[row]
        return sum(index not in used for index in self.such(row, kind))
