"""An array cut into cells of as many tasks each, whatever indexes it has: places in its order, found by numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from wasmgrid.core.ranges import Run

Numbers = NDArray[np.int64]


class Cells:
    """At most `most` cells of the tasks in `runs` (in order), all but the last with `per_cell` of them."""

    def __init__(self, runs: Sequence[Run], most: int) -> None:
        self._firsts: Numbers = np.array([first for first, _ in runs], dtype=np.int64)
        counts = np.array([count for _, count in runs], dtype=np.int64)
        self._ends: Numbers = np.cumsum(counts)
        self._starts: Numbers = self._ends - counts
        self.tasks = int(self._ends[-1])
        self.per_cell = -(-self.tasks // most)
        self.count = -(-self.tasks // self.per_cell)

    def first_indexes(self) -> list[int]:
        """The index of each cell's first task."""
        indexes: list[int] = self._index(np.arange(self.count) * self.per_cell).tolist()
        return indexes

    def sizes(self) -> Numbers:
        """How many tasks each has."""
        sizes = np.full(self.count, self.per_cell, dtype=np.int64)
        sizes[-1] = self.tasks - (self.count - 1) * self.per_cell
        return sizes

    def rounds(self, looks: int) -> list[list[int]]:
        """Indexes to look at: in each round one of every cell, all different, spread over it."""
        steps = min(looks, self.per_cell)
        rounds = []
        for step in range(steps):
            within = (step * self.per_cell + self.per_cell // 2) // steps if steps < self.per_cell else step
            places = np.arange(self.count) * self.per_cell + within
            rounds.append(self._index(places[places < self.tasks]).tolist())
        return rounds

    def of(self, indexes: Iterable[int]) -> Numbers:
        """The cells that these tasks are in."""
        given = np.fromiter(indexes, dtype=np.int64)
        cells: Numbers = self._place(given) // self.per_cell
        return cells

    def counted(self, runs: Iterable[Run]) -> Numbers:
        """How many of these tasks each cell has."""
        given = [run for run in runs if run[1] > 0]
        edges = np.zeros(self.count + 1, dtype=np.int64)
        if not given:
            return edges[:-1]
        firsts = np.array([first for first, _ in given], dtype=np.int64)
        low = self._place(firsts)
        high = self._place(firsts + np.array([count for _, count in given], dtype=np.int64) - 1) + 1
        bounds = np.arange(self.count + 1) * self.per_cell
        # How many of them lie before each bound: all of the runs that end before it, a part of the one that it cuts.
        order = np.argsort(low, kind="stable")
        low, high = low[order], high[order]
        before = np.concatenate([[0], np.cumsum(high - low)])
        at = np.searchsorted(low, bounds, side="right")
        whole = before[at]
        cut = np.where(at > 0, np.maximum(high[np.maximum(at - 1, 0)] - bounds, 0), 0)
        counted: Numbers = np.diff(whole - cut)
        return counted

    def _place(self, indexes: Numbers) -> Numbers:
        at = np.searchsorted(self._firsts, indexes, side="right") - 1
        places: Numbers = self._starts[at] + indexes - self._firsts[at]
        return places

    def _index(self, places: Numbers) -> Numbers:
        at = np.searchsorted(self._ends, places, side="right")
        indexes: Numbers = self._firsts[at] + places - self._starts[at]
        return indexes
