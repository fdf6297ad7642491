"""Moments at which something must happen by time alone, kept in order."""

from __future__ import annotations

import heapq
import itertools

import msgspec

from wasmgrid.core.job import TaskId


class QueueTimeout(msgspec.Struct, frozen=True):
    """The job has waited for its first start for as long as it may."""

    job_id: int


class TotalTimeout(msgspec.Struct, frozen=True):
    """The job has had all the time that it may have."""

    job_id: int


class RetryDue(msgspec.Struct, frozen=True):
    """The task has rested after its failure."""

    task: TaskId


Deadline = QueueTimeout | TotalTimeout | RetryDue


class Deadlines:
    """What is due when. Nothing is ever taken out: whoever is told asks whether it still matters."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()

    def add(self, when: float, deadline: Deadline) -> None:
        """Something is due at `when`."""
        heapq.heappush(self._heap, (when, next(self._numbers), deadline))

    @property
    def next(self) -> float | None:
        """When the first is due."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Deadline]:
        """Those whose moment has come, the earliest first; they are forgotten here."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found
