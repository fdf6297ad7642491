"""How far many tasks are, how fast they go and when they will be done. Pure: times are arguments."""

from __future__ import annotations

from collections import deque

from wasmgrid.core.units import format_ms
from wasmgrid.sdk.counts import Counts

WINDOW_S = 10.0  # the rate is that of so long


class Meter:
    """Counts as they come, each with the moment (in seconds, of any clock) when it did."""

    def __init__(self, total: int) -> None:
        self._counts = Counts(total=total)
        self._seen: deque[tuple[float, int]] = deque()

    @property
    def counts(self) -> Counts:
        """The last that came."""
        return self._counts

    def see(self, counts: Counts, now: float) -> None:
        """So far it is."""
        self._counts = counts
        self._seen.append((now, counts.ended))
        while len(self._seen) > 2 and self._seen[1][0] < now - WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Tasks a second, of late; 0 where that is not known yet."""
        if len(self._seen) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at this rate; None where it has none."""
        return (self._counts.total - self._counts.ended) / self.rate if self.rate else None

    def text(self) -> str:
        """`12,000 of 50,000 · 5,210/s · 7 s left · 3 failed`."""
        counts = self._counts
        parts = [f"{counts.ended:,} of {counts.total:,}"]
        if self.rate:
            parts.append(f"{pace(self.rate)}/s")
        if self.left_s is not None and counts.ended < counts.total:
            parts.append(f"{left(self.left_s)} left")
        if counts.failed:
            parts.append(f"{counts.failed:,} failed")
        return " · ".join(parts)


def pace(rate: float) -> str:
    """A rate as a person reads it: `5,210`, `12.5`, `0.34`."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 10 else f"{rate:.2g}"


def left(seconds: float) -> str:
    """A time to come, to the second."""
    return f"{max(1, round(seconds))} s" if seconds < 60 else format_ms(seconds * 1000)
