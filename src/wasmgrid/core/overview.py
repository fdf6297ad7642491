"""The whole grid at one glance, as JSON: what `GET /v1/overview` answers."""

from __future__ import annotations

import msgspec


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks (builds too) that wait for a worker; `oldest_s` is for how long the first of them does (None: none)."""

    tasks: int = 0
    oldest_s: float | None = None


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """Of what all workers have together, what tasks take."""

    used: float = 0.0
    total: float = 0.0


class WorkersView(msgspec.Struct, frozen=True, kw_only=True):
    """Workers by state, and what they have together. `lost`: their leases ran out within the last hour.

    `running_tasks` are the tasks and builds that run on them.
    """

    joined: int = 0
    draining: int = 0
    cordoned: int = 0
    quarantined: int = 0
    unheard: int = 0
    lost: int = 0
    cpus: Used = Used()
    memory_mb: Used = Used()
    gpus: Used = Used()
    running_tasks: int = 0


class BuildsView(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs with a source whose build was settled since this server leads; `hits` had been built before."""

    count: int = 0
    hits: int = 0
    hit_rate: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured every `step_s` seconds, oldest first: a value for each of `times` (seconds since 1970).

    Quantiles and `success_rate` are of the tasks that ended within the step, None where none did. A gap in `times` is
    where this server did not lead.
    """

    step_s: int
    times: list[int] = []
    tasks_per_s: list[float] = []
    queue_tasks: list[int] = []
    running_tasks: list[int] = []
    cpus_used: list[float] = []
    memory_mb_used: list[int] = []
    success_rate: list[float | None] = []
    wall_ms_p50: list[float | None] = []
    wall_ms_p90: list[float | None] = []
    wall_ms_p99: list[float | None] = []
    queue_ms_p50: list[float | None] = []
    queue_ms_p99: list[float | None] = []


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a worker holds now: the task that runs, or will first; assigned so long ago."""

    index: int
    attempt: int
    worker_id: str
    phase: str
    detail: str
    assigned_s: float


class LeaderOverview(msgspec.Struct, frozen=True, kw_only=True):
    """The part of it that only the leader knows."""

    running_jobs: int
    queue: QueueView
    workers: WorkersView
    success_rate: float | None
    builds: BuildsView
    series: Series


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The whole grid at one glance.

    `now` is in seconds since 1970, `jobs` counts the jobs by state, `success_rate` is of the tasks that ended within
    the time that `series` shows (0 to 1; cancelled ones left out; None: none ended).
    """

    now: float
    version: str
    jobs: dict[str, int]
    queue: QueueView
    workers: WorkersView
    success_rate: float | None
    builds: BuildsView
    series: Series
