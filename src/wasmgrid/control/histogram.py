"""Durations counted in buckets whose edges grow by a fixed factor: adding one costs a look-up among 121 numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

PER_OCTAVE = 4  # so a quantile is known to within 19 %, whatever its size
EDGES_MS = tuple(0.01 * 2 ** (step / PER_OCTAVE) for step in range(121))  # 10 us to 3 hours
BUCKETS = len(EDGES_MS) + 1  # the last is for what is longer

Counts = list[int]


def empty() -> Counts:
    """No durations yet."""
    return [0] * BUCKETS


def bucket(ms: float) -> int:
    """Where a duration is counted: at the first edge that is not below it."""
    return bisect_left(EDGES_MS, ms)


def quantile(counts: Sequence[int], q: float) -> float | None:
    """The duration in ms below which the share `q` of all lies, within its bucket in proportion; None of none."""
    total = sum(counts)
    if not total:
        return None
    rank = q * total
    below = 0
    for at, count in enumerate(counts):
        if count and below + count >= rank:
            low = EDGES_MS[at - 1] if at else 0.0
            high = EDGES_MS[min(at, len(EDGES_MS) - 1)]
            return round(low + (high - low) * max(0.0, rank - below) / count, 4)
        below += count
    return EDGES_MS[-1]
