"""The way of a job, or of one of its tasks, through the six stages: when each began and ended, as far as anybody knows.

Servers, the database and workers have clocks of their own; a time is that of whoever was there. Where these disagree, a
stage begins when the one before it ended.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from wasmgrid.core.job import TaskResult
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.overview import HeldView
from wasmgrid.protocol.events import LiveJob
from wasmgrid.server.service import Service
from wasmgrid.server.views import is_array
from wasmgrid.store.rows import BuildRow, EndedAttempt, JobRow

MOST_ATTEMPTS = 100


class StageState(StrEnum):
    """pending -> active -> done; skipped: it was not needed, or the job ended before it."""

    PENDING = "pending"
    ACTIVE = "active"
    DONE = "done"
    SKIPPED = "skipped"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage, or a step of one. `ms` is how long it took (so far, where it is active); null: not known."""

    stage: str
    state: StageState
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ms: float | None = None
    detail: str = ""


class TimelineAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `phase` is what its worker does now (null: it is over); `steps` are those of its run, once it is."""

    index: int
    attempt: int
    worker_id: str
    phase: str | None
    outcome: OutcomeKind | None
    reason: str | None
    assigned_at: datetime | None
    ended_at: datetime | None
    steps: list[Stage] = []


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A job's way, or that of the task `index` (null: of the whole array).

    `stages` are submit, build, queue, match, run and result; `steps` are those of the run: fetch, precompile,
    instantiate, wall. `attempts`, oldest first, are at most a hundred.
    """

    job_id: int
    index: int | None
    state: JobState
    now: datetime
    stages: list[Stage]
    steps: list[Stage]
    attempts: list[TimelineAttempt]


async def timeline(service: Service, row: JobRow, index: int | None) -> Timeline:
    """As it is now. `index`: of one task; without it, of an array as a whole, of any other job its one task."""
    shown = index if index is not None or is_array(row) else 0
    result = await service.result(row, shown) if shown is not None else None
    live, held = None, list[HeldView]()
    if row.state not in FINISHED:
        live = await service.control.live(row.id)
        held = await service.control.held(row.id, shown)
        if live is None:
            row = await service.store.job(service.tenant, row.id)
    build = await service.store.build(row.build_id) if row.build_id is not None else None
    ended = await service.store.latest_attempts(service.tenant, row.id, index=shown, limit=MOST_ATTEMPTS)
    way = _Way(row, live, build, result, held, datetime.now(UTC))
    return Timeline(
        job_id=row.id,
        index=shown,
        state=way.state,
        now=way.now,
        stages=way.stages(),
        steps=_steps(result),
        attempts=_attempts(row, ended, result, held, way.now)[-MOST_ATTEMPTS:],
    )


class _Way:
    """What is known, put in order."""

    def __init__(
        self,
        row: JobRow,
        live: LiveJob | None,
        build: BuildRow | None,
        result: TaskResult | None,
        held: list[HeldView],
        now: datetime,
    ) -> None:
        self.row, self.live, self.build, self.result, self.held, self.now = row, live, build, result, held, now
        self.state = live.state if live is not None and row.state not in FINISHED else row.state
        self.over = self.state in FINISHED or result is not None
        self.at = row.submitted_at  # when the stage before ended

    def stages(self) -> list[Stage]:
        """All six, in order."""
        submit = Stage(stage="submit", state=StageState.DONE, started_at=self.at, ended_at=self.at, ms=0.0)
        return [submit, self._build(), self._queue(), self._match(), self._run(), self._result()]

    def _build(self) -> Stage:
        row, build = self.row, self.build
        if row.spec.source is None:
            return Stage(stage="build", state=StageState.SKIPPED, detail="a module was submitted")
        if row.build_cached:
            return self._done("build", self.at, 0.0, "cached")
        reason = self.live.reason or "" if self.live is not None else ""
        if build is not None and build.finished_at is not None:
            return self._done("build", build.finished_at, build.build_ms, build.message)
        if self.state is JobState.BUILDING:
            return self._active("build", reason)
        if self.over and row.module_sha256 is None:
            return Stage(stage="build", state=StageState.SKIPPED, started_at=self.at, detail=row.message)
        return self._done("build", self.at, None)

    def _queue(self) -> Stage:
        if self.state is JobState.BUILDING or self._never_ran:
            return self._not_yet("queue")
        if self.result is not None and self.result.stats.queue_ms is not None:
            queue_ms = self.result.stats.queue_ms
            return self._done("queue", self.at + timedelta(milliseconds=queue_ms), queue_ms)
        assigned = self._assigned_at
        if assigned is not None:
            return self._done("queue", assigned, None)
        return self._active("queue", (self.live.reason or "") if self.live is not None else "")

    def _match(self) -> Stage:
        worker = self.result.worker_id if self.result is not None else self.held[0].worker_id if self.held else ""
        if self._never_ran or (self.result is None and self._assigned_at is None):
            return self._not_yet("match")
        return Stage(stage="match", state=StageState.DONE, started_at=self.at, ended_at=self.at, ms=0.0, detail=worker)

    def _run(self) -> Stage:
        if self.result is not None and self.result.attempt and self.result.started_at:
            begun, ended = _moment(self.result.started_at), _moment(self.result.finished_at)
            return self._done("run", ended, self.result.stats.wall_ms, self.result.outcome.kind, since=begun)
        begun_at = self.row.started_at or (self.live.started_at if self.live is not None else None)
        if self.result is None and begun_at is not None and self.row.finished_at is not None:
            return self._done("run", self.row.finished_at, None, since=begun_at)
        if self._never_ran or (not self.held and begun_at is None):
            return self._not_yet("run")
        detail = f"{self.held[0].phase} {self.held[0].detail}".strip() if self.held else ""
        return self._active("run", detail, since=begun_at)

    def _result(self) -> Stage:
        if self.row.finished_at is not None:
            return self._done("result", self.row.finished_at, None, self.row.message)
        return self._done("result", self.at, None) if self.result is not None else self._not_yet("result")

    @property
    def _never_ran(self) -> bool:
        """Whether it ended before a worker ran anything of it."""
        if self.result is not None:
            return not self.result.attempt
        return self.over and self.row.started_at is None

    @property
    def _assigned_at(self) -> datetime | None:
        if self.held:
            return self.now - timedelta(seconds=max(one.assigned_s for one in self.held))
        return self.row.started_at or (self.live.started_at if self.live is not None else None)

    def _not_yet(self, stage: str) -> Stage:
        return Stage(stage=stage, state=StageState.SKIPPED if self.over else StageState.PENDING)

    def _done(
        self, stage: str, ended_at: datetime, ms: float | None, detail: str = "", *, since: datetime | None = None
    ) -> Stage:
        began = max(self.at, since) if since is not None else self.at
        self.at = max(began, ended_at)
        took = round((self.at - began).total_seconds() * 1000, 3) if ms is None else ms
        return Stage(stage=stage, state=StageState.DONE, started_at=began, ended_at=self.at, ms=took, detail=detail)

    def _active(self, stage: str, detail: str, *, since: datetime | None = None) -> Stage:
        began = max(self.at, since) if since is not None else self.at
        ms = round(max(0.0, (self.now - began).total_seconds() * 1000), 3)
        return Stage(stage=stage, state=StageState.ACTIVE, started_at=began, ms=ms, detail=detail)


def _steps(result: TaskResult | None) -> list[Stage]:
    """What a run consisted of; its steps before the guest ran are placed by how long they took."""
    if result is None or not result.attempt or not result.started_at:
        return []
    stats = result.stats
    begun = _moment(result.started_at)
    before = [
        ("fetch", stats.fetch_ms, "cached" if stats.module_cached else ""),
        ("precompile", stats.precompile_ms, "cached" if stats.precompile_cached else ""),
        ("instantiate", stats.instantiate_ms, ""),
    ]
    at = begun - timedelta(milliseconds=sum(ms for _, ms, _ in before))
    steps = []
    for name, ms, detail in [*before, ("wall", stats.wall_ms, "")]:
        end = at + timedelta(milliseconds=ms)
        steps.append(Stage(stage=name, state=StageState.DONE, started_at=at, ended_at=end, ms=ms, detail=detail))
        at = end
    return steps


def _attempts(
    row: JobRow, ended: list[EndedAttempt], result: TaskResult | None, held: list[HeldView], now: datetime
) -> list[TimelineAttempt]:
    found = [
        TimelineAttempt(
            index=each.index,
            attempt=each.attempt,
            worker_id=each.worker_id,
            phase=None,
            outcome=None,
            reason=each.reason,
            assigned_at=None,
            ended_at=each.ended_at,
        )
        for each in ended
    ]
    if result is not None and result.attempt:
        found.append(
            TimelineAttempt(
                index=result.index,
                attempt=result.attempt,
                worker_id=result.worker_id,
                phase=None,
                outcome=result.outcome.kind,
                reason=result.outcome.message,
                assigned_at=None,
                ended_at=_moment(result.finished_at) if result.finished_at else row.finished_at,
                steps=_steps(result),
            )
        )
    else:
        found += [
            TimelineAttempt(
                index=one.index,
                attempt=one.attempt,
                worker_id=one.worker_id,
                phase=one.phase,
                outcome=None,
                reason=one.detail or None,
                assigned_at=now - timedelta(seconds=one.assigned_s),
                ended_at=None,
            )
            for one in held
        ]
    return sorted(found, key=lambda one: one.attempt)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
