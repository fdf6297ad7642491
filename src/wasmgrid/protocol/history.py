"""What is known of a task, or of a build, beyond that it waits. Most tasks of an array have none of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class History:
    """`crashes` and `tries` count against their limits. `latest` is of a build: the highest attempt that ended without
    a result, for what is reported from before counts only above it. `memory_mb` is what it needs now (0: as was asked).

    `failed_at` are the workers where an attempt of it failed, `queued_at` is since when it waits again.
    """

    crashes: int = 0
    tries: int = 0
    latest: int = 0
    memory_mb: int = 0
    failed_at: frozenset[str] = frozenset()
    queued_at: float | None = None
