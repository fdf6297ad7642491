"""How a job went: its way through the stages, and the map of an array. Tolerant, as `views` are."""

from __future__ import annotations

from datetime import datetime

import msgspec

from wasmgrid.sdk.request import Call, JobId, json_of, of_job


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage, or a step of one: pending, active, done or skipped. `ms` is how long it took; None: not known."""

    stage: str = ""
    state: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ms: float | None = None
    detail: str = ""


class TimelineAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `phase` is what its worker does now (None: it is over); `steps` are those of its run."""

    index: int = 0
    attempt: int = 0
    worker_id: str = ""
    phase: str | None = None
    outcome: str | None = None
    reason: str | None = None
    assigned_at: datetime | None = None
    ended_at: datetime | None = None
    steps: list[Stage] = []


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A job's way, or that of the task `index`: submit, build, queue, match, run, result; and the steps of its run."""

    job_id: int = 0
    index: int | None = None
    state: str = ""
    now: datetime | None = None
    stages: list[Stage] = []
    steps: list[Stage] = []
    attempts: list[TimelineAttempt] = []


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How many durations lie between two edges, in milliseconds: one count fewer than edges."""

    edges_ms: list[float] = []
    counts: list[int] = []


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that ended alike; `indexes` are the first few."""

    outcome: str = ""
    detail: str = ""
    count: int = 0
    indexes: list[int] = []


class TaskMap(msgspec.Struct, frozen=True, kw_only=True):
    """An array's tasks in cells of `tasks_per_cell` consecutive ones; a value for each cell.

    `state` is the worst of its tasks, `wall_ms` the longest of those that were read (None: none has run), `failed` how
    many failed. `exact`: every result was read; else `results_read` were, evenly spread.
    """

    task_count: int = 0
    tasks_per_cell: int = 1
    exact: bool = True
    results_read: int = 0
    failures_read: int = 0
    first_index: list[int] = []
    state: list[str] = []
    wall_ms: list[float | None] = []
    failed: list[int] = []
    histogram: Histogram = Histogram()
    failures: list[Failures] = []


def timeline(job_id: JobId, *, index: int | None = None) -> Call[Timeline]:
    """When each stage of a job, or of one task of an array, began and ended; and its attempts."""
    return Call(method="GET", path=of_job(job_id, "timeline"), query={"index": index}, decode=json_of(Timeline))


def task_map(job_id: JobId, *, cells: int = 2000) -> Call[TaskMap]:
    """An array at one glance, in at most so many cells (1 to 10,000)."""
    return Call(method="GET", path=of_job(job_id, "tasks", "map"), query={"cells": cells}, decode=json_of(TaskMap))
