"""What calls cost that are too short to be measured one by one: together, and shared out evenly."""

from __future__ import annotations

import time
from collections.abc import Callable

from wasmgrid.core.job import Stats
from wasmgrid.runner.watch import cpu_clock


class Meter:
    """Made by the thread that calls, which adds up; read by whichever sends a range, under the outbox's lock.

    `until`: when the last call ended (monotonic).
    """

    def __init__(self, *, metered: bool) -> None:
        self._own_cpu = cpu_clock()
        self._since = self.until = time.monotonic()
        self._cpu_since = self._own_cpu()
        self.peak_bytes = 0
        self.instantiate_s = 0.0
        self.fuel_used = 0
        self._metered = metered
        self._beside: Callable[[], float] | None = None

    def count_beside(self, cpu: Callable[[], float] | None, since: float = 0.0) -> None:
        """From now on also the cpu time of a thread beside, past its `since`; None: it has ended."""
        if self._beside is not None:
            self._cpu_since -= self._beside()
        self._beside = cpu
        self._cpu_since += since

    def _cpu(self) -> float:
        return self._own_cpu() if self._beside is None else self._own_cpu() + self._beside()

    def of_range(self, count: int) -> Stats:
        """One call's share of what `count` of them cost, the last of which has ended."""
        wall_s = self.until - self._since
        # Another call may be at work already: what is over the time that passed is its.
        cpu_s = min(self._cpu() - self._cpu_since, wall_s)
        self._since, self._cpu_since = self.until, self._cpu_since + cpu_s
        return self._share(wall_s, cpu_s, count)

    def of_one(self, wall_s: float, peak_bytes: int) -> Stats:
        """What the call cost that has just ended, after `wall_s`; those before it are accounted for."""
        now = self._cpu()
        cpu_s = min(now - self._cpu_since, wall_s)
        self._since, self._cpu_since = time.monotonic(), now
        self.peak_bytes = max(self.peak_bytes, peak_bytes)
        return self._share(wall_s, cpu_s, 1)

    def _share(self, wall_s: float, cpu_s: float, count: int) -> Stats:
        instantiate_s, fuel_used = self.instantiate_s, self.fuel_used
        self.instantiate_s, self.fuel_used = 0.0, 0
        return Stats(
            instantiate_ms=instantiate_s * 1000 / count,
            wall_ms=max(wall_s - instantiate_s, 0.0) * 1000 / count,
            cpu_ms=cpu_s * 1000 / count,
            peak_memory_bytes=self.peak_bytes,
            fuel_used=fuel_used // count if self._metered else None,
        )
