"""Sets of task indexes as runs of consecutive ones: a million tasks are one pair of numbers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from wasmgrid.core.errors import InvalidField

Run = tuple[int, int]
"""(first, how many)"""

LAST_INDEX = (1 << 31) - 1
MOST_RUNS = 10_000


class Ranges:
    """A set of whole numbers from 0 on, kept as disjoint runs in order. What runs cost, not what they hold."""

    __slots__ = ("_ends", "_firsts", "_size")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []  # the first number after each
        self._size = 0
        for first, count in runs:
            self.add(first, count)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number < self._ends[place]

    def __iter__(self) -> Iterator[int]:
        for first, count in self.runs():
            yield from range(first, first + count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and (self._firsts, self._ends) == (other._firsts, other._ends)

    __hash__ = None  # type: ignore[assignment] # it changes

    def __repr__(self) -> str:
        return f"Ranges({format_runs(self.runs())!r})"

    def runs(self) -> list[Run]:
        """The runs, in order; no two touch."""
        return [(first, end - first) for first, end in zip(self._firsts, self._ends, strict=True)]

    def add(self, first: int, count: int = 1) -> int:
        """Take in `first` .. `first + count - 1`; how many of them were new."""
        if count <= 0:
            return 0
        end = first + count
        low = bisect_left(self._ends, first)  # the first run that touches it, and the first that does not any more
        high = bisect_right(self._firsts, end)
        known = 0
        start, stop = first, end
        if low < high:
            known = sum(max(0, min(end, self._ends[at]) - max(first, self._firsts[at])) for at in range(low, high))
            start, stop = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        self._firsts[low:high] = [start]
        self._ends[low:high] = [stop]
        self._size += count - known
        return count - known

    def discard(self, first: int, count: int = 1) -> int:
        """Take `first` .. `first + count - 1` out; how many of them were in it."""
        end = first + count
        low, high = bisect_right(self._ends, first), bisect_left(self._firsts, end)
        if count <= 0 or low >= high:
            return 0
        gone = sum(min(end, self._ends[at]) - max(first, self._firsts[at]) for at in range(low, high))
        firsts, ends = [], []
        if self._firsts[low] < first:
            firsts.append(self._firsts[low])
            ends.append(first)
        if self._ends[high - 1] > end:
            firsts.append(end)
            ends.append(self._ends[high - 1])
        self._firsts[low:high], self._ends[low:high] = firsts, ends
        self._size -= gone
        return gone

    def without(self, other: Ranges) -> Ranges:
        """Those that are not in `other`."""
        left = Ranges()
        left._firsts, left._ends, left._size = self._firsts.copy(), self._ends.copy(), self._size
        for first, count in other.runs():
            left.discard(first, count)
        return left

    def copy(self) -> Ranges:
        """A set of its own with the same numbers."""
        return self.without(Ranges())


def parse_runs(text: str, *, field: str) -> list[Run]:
    """`0-99`, `3,7,10-20`: the runs in order, joined where they touch. Raises `InvalidField` for anything else."""
    ranges = Ranges()
    parts = text.split(",")
    if len(parts) > MOST_RUNS:
        raise InvalidField(f"{field} has {len(parts)} parts, at most {MOST_RUNS} are taken", field=field)
    for part in parts:
        first, dash, last = part.strip().partition("-")
        numbers = [first, last] if dash else [first, first]
        if not all(one.isascii() and one.isdigit() and len(one) <= len(str(LAST_INDEX)) for one in numbers):
            raise InvalidField(
                f"{part.strip()[:40]!r} is no range of indexes", hint="as in 0-99 or 3,7,10-20", field=field
            )
        low, high = map(int, numbers)
        if low > high or high > LAST_INDEX:
            why = f"ends before it begins: {low}-{high}" if low > high else f"goes beyond {LAST_INDEX}"
            raise InvalidField(f"{field} {why}", hint="as in 0-99 or 3,7,10-20", field=field)
        ranges.add(low, high - low + 1)
    return ranges.runs()


def format_runs(runs: Iterable[Run]) -> str:
    """The inverse of `parse_runs`."""
    return ",".join(str(first) if count == 1 else f"{first}-{first + count - 1}" for first, count in runs)
