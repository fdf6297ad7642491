"""What comes in any order, given on in order: as soon as everything before it is there."""

from __future__ import annotations

import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Self

from wasmgrid.core.ranges import Run

IN_MEMORY = 8 << 20  # of what waits; the rest is in a temporary file
_LARGE = 0xFFFF_FFFF


class InOrder:
    """Takes a piece for each index and writes them in the order of the indexes.

    A piece of None stands for one that is fetched only when its turn comes: `fetch(index)`. What it costs in memory
    is eight bytes an index, and `IN_MEMORY`. Use it in a `with`.
    """

    def __init__(self, runs: Sequence[Run], write: Callable[[bytes], None], fetch: Callable[[int], None]) -> None:
        self._runs = runs
        self._firsts = [first for first, _ in runs]
        self._before = [0, *accumulate(count for _, count in runs)]
        self._write = write
        self._fetch = fetch
        self._next = 0  # the place whose turn it is
        self._offsets = array("Q", bytes(8 * self._before[-1]))  # 1 + where a piece waits, by place; 0: it is not here
        self._waiting = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 -- closed by __exit__
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, index: int, piece: bytes | None) -> None:
        """The piece of `index`, once."""
        place = self._place(index)
        if place != self._next:
            self._keep(place, piece)
            return
        self._give(index, piece)
        self._next += 1
        while self._waiting and self._offsets[self._next]:
            self._give_kept()
        if not self._waiting and self._end:
            self._file.seek(0)
            self._file.truncate()
            self._end = 0

    def finish(self) -> None:
        """No more will come: write what waits behind those that never came."""
        while self._waiting:
            if self._offsets[self._next]:
                self._give_kept()
            else:
                self._next += 1

    def _place(self, index: int) -> int:
        run = bisect_right(self._firsts, index) - 1
        return self._before[run] + index - self._firsts[run]

    def _index(self, place: int) -> int:
        run = bisect_right(self._before, place) - 1
        return self._firsts[run] + place - self._before[run]

    def _keep(self, place: int, piece: bytes | None) -> None:
        self._file.seek(self._end)
        size = _LARGE if piece is None else len(piece)
        self._file.write(size.to_bytes(4, "little") + (piece or b""))
        self._offsets[place] = self._end + 1
        self._end = self._file.tell()
        self._waiting += 1

    def _give_kept(self) -> None:
        self._file.seek(self._offsets[self._next] - 1)
        size = int.from_bytes(self._file.read(4), "little")
        self._give(self._index(self._next), None if size == _LARGE else self._file.read(size))
        self._waiting -= 1
        self._next += 1

    def _give(self, index: int, piece: bytes | None) -> None:
        if piece is None:
            self._fetch(index)
        else:
            self._write(piece)
