"""What flows through a leader is counted right, and cheaply."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.control import histogram
from wasmgrid.control.meter import POINTS, STEP_S, Gauge, Meter
from wasmgrid.core.job import Stats, TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.ranges import Ranges

IDLE = Gauge(queue_tasks=0, running_tasks=0, cpus_used=0.0, memory_mb_used=0)


def result(index: int, outcome: Outcome | None = None, *, wall_ms: float = 1.0, queue_ms: float = 2.0) -> TaskResult:
    stats = Stats(wall_ms=wall_ms, queue_ms=queue_ms)
    return TaskResult(job_id=1, index=index, attempt=7, worker_id="w1", outcome=outcome or exited(0), stats=stats)


def calls(first: int, count: int, *, attempt: int = 7, outcome: Outcome | None = None) -> TaskRange:
    stats = Stats(wall_ms=0.02, queue_ms=1.0)
    said = outcome or exited(0)
    return TaskRange(job_id=1, first=first, count=count, attempt=attempt, worker_id="w1", outcome=said, stats=stats)


def test_a_step_holds_the_rate_the_share_and_the_quantiles_of_what_ended_within_it() -> None:
    meter = Meter()
    meter.begin(100.0)
    meter.record([result(at, wall_ms=10.0) for at in range(90)] + [result(90, exited(1), wall_ms=1000.0)] * 10, [])
    meter.step(IDLE._replace(cpus_used=1.5), at=1_000_000.0, now=102.0)
    meter.step(IDLE, at=1_000_002.0, now=104.0)
    series = meter.series(POINTS)
    assert series.times == [1_000_000, 1_000_002]
    assert series.tasks_per_s == [50.0, 0.0]
    assert series.success_rate == [0.9, None]
    assert series.cpus_used == [1.5, 0.0]
    assert series.wall_ms_p50[0] == pytest.approx(10.0, rel=0.2)
    assert series.wall_ms_p99[0] == pytest.approx(1000.0, rel=0.2)
    assert series.wall_ms_p50[1] is None
    assert series.queue_ms_p99[0] == pytest.approx(2.0, rel=0.2)
    assert meter.success_rate() == 0.9
    assert meter.outcomes["succeeded"] == 90
    assert meter.outcomes["exited"] == 10


def test_a_range_counts_as_its_tasks_and_tasks_that_never_ran_have_no_durations() -> None:
    meter = Meter()
    never = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled")
    meter.record([], [calls(0, 1000), calls(1000, 500, attempt=0, outcome=never)])
    assert meter.outcomes["succeeded"] == 1000
    assert meter.outcomes["cancelled"] == 500
    assert sum(meter.wall.so_far()) == 1000
    assert meter.wall.sum_ms == pytest.approx(20.0)
    assert meter.success_rate() == 1.0  # who was stopped did not fail


def test_what_was_refused_is_not_counted_twice() -> None:
    meter = Meter()
    meter.record([result(0), result(1)], [calls(10, 10)], {1: Ranges([(1, 1), (12, 3)])})
    assert meter.outcomes["succeeded"] == 1 + 7


def test_the_series_is_bounded_and_the_newest_points_can_be_had_alone() -> None:
    meter = Meter()
    for step in range(POINTS + 50):
        meter.step(IDLE, at=float(step * STEP_S), now=float(step * STEP_S))
    assert len(meter.series(POINTS).times) == POINTS
    assert meter.series(1).times == [(POINTS + 49) * STEP_S]
    assert meter.series(POINTS).step_s == STEP_S


def test_builds_and_their_hits() -> None:
    meter = Meter()
    assert meter.builds_view().hit_rate is None
    meter.built(1, cached=False)
    meter.built(3, cached=True)
    assert meter.builds_view().hit_rate == 0.75


@given(st.lists(st.floats(min_value=0.02, max_value=1e6), min_size=1), st.floats(min_value=0.01, max_value=1.0))
def test_a_quantile_is_as_near_as_its_bucket_is_wide(values: list[float], q: float) -> None:
    counts = histogram.empty()
    for value in values:
        counts[histogram.bucket(value)] += 1
    exact = sorted(values)[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]
    found = histogram.quantile(counts, q)
    assert found is not None
    assert exact / 1.2 <= found <= exact * 1.2


def test_no_duration_is_too_short_or_too_long() -> None:
    counts = histogram.empty()
    for ms in (0.0, 1e-9, 1e12, random.random()):
        counts[histogram.bucket(ms)] += 1
    assert sum(counts) == 4
    assert histogram.quantile(counts, 1.0) == histogram.EDGES_MS[-1]
