"""Questions about workers that are asked again and again: each is answered once per worker, as a column of a table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from wasmgrid.scheduling.vectors import FEW

Key = TypeVar("Key", bound=Hashable)

IDLE = 64  # columns that are kept although nothing that waits asks for them


class Columns(Generic[Key]):
    """`table[row, column]` is the answer about the worker in that row. A column that nobody uses may be taken over.

    A worker costs as many answers as there are different questions (few: shapes that differ in amounts alone share
    theirs), a question as many as there are workers.
    """

    def __init__(self, answer: Callable[[Key, int], int], rows: Callable[[], Iterable[int]]) -> None:
        self._answer, self._rows = answer, rows
        self._columns: dict[Key, int] = {}
        self._keys: list[Key] = []
        self._users: list[int] = []
        self._idle: dict[Key, None] = {}
        self.table: NDArray[np.int16] = np.zeros((FEW, FEW), dtype=np.int16)

    def acquire(self, key: Key) -> int:
        """The column of `key`, answered for every worker; it stays until it is released as often as acquired."""
        column = self._columns.get(key)
        if column is None:
            column = self._add(key)
        self._users[column] += 1
        self._idle.pop(key, None)
        return column

    def release(self, column: int) -> None:
        """One user fewer."""
        self._users[column] -= 1
        if not self._users[column]:
            self._idle[self._keys[column]] = None

    def refresh(self, row: int) -> None:
        """Something about the worker changed: answer everything again."""
        for key, column in self._columns.items():
            self.table[row, column] = self._answer(key, row)

    def clear(self, row: int) -> None:
        """There is no worker in that row any more."""
        self.table[row] = 0

    def grow(self, rows: int) -> None:
        """Have room for so many rows."""
        self.table = np.pad(self.table, ((0, rows - len(self.table)), (0, 0)))

    def _add(self, key: Key) -> int:
        if len(self._keys) >= IDLE and self._idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            column = self._columns.pop(oldest)
            self._keys[column] = key
        else:
            column = len(self._keys)
            self._keys.append(key)
            self._users.append(0)
            if column == self.table.shape[1]:
                self.table = np.pad(self.table, ((0, 0), (0, column)))
        self._columns[key] = column
        for row in self._rows():
            self.table[row, column] = self._answer(key, row)
        return column
