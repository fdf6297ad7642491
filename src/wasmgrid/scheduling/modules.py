"""Which workers have which module ready: a hint for ranking, forgotten where it grows too much."""

from __future__ import annotations

from wasmgrid.scheduling.vectors import FEW

REMEMBERED = 128  # modules per worker, the newest


class Modules:
    """`ready[module]` are the rows of the workers that have it."""

    def __init__(self) -> None:
        self.ready: dict[str, set[int]] = {}
        self._of_row: list[dict[str, None]] = [{} for _ in range(FEW)]

    def grow(self, rows: int) -> None:
        """Have room for so many workers."""
        self._of_row.extend({} for _ in range(rows - len(self._of_row)))

    def put(self, row: int, modules: tuple[str, ...]) -> None:
        """The worker has these, newest first, and no others."""
        self.clear(row)
        for module in reversed(modules[:REMEMBERED]):
            self.add(row, module)

    def add(self, row: int, module: str) -> None:
        """The worker has this one more."""
        mine = self._of_row[row]
        if module in mine:
            return
        mine[module] = None
        self.ready.setdefault(module, set()).add(row)
        if len(mine) > REMEMBERED:
            self._forget(row, next(iter(mine)))

    def clear(self, row: int) -> None:
        """The worker has none, or is gone."""
        for module in list(self._of_row[row]):
            self._forget(row, module)

    def _forget(self, row: int, module: str) -> None:
        del self._of_row[row][module]
        rows = self.ready[module]
        rows.discard(row)
        if not rows:
            del self.ready[module]
