"""A frame of `top` as text: what it says, and that it fits whatever it is shown on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.cli.main import main
from wasmgrid.cli.spark import bar, spark
from wasmgrid.cli.topframe import SORTS, Line, Look, Seen, frame
from wasmgrid.core.overview import BuildsView, Overview, QueueView, Series, Used, WorkersView
from wasmgrid.core.resources import Resources
from wasmgrid.sdk.views import Job, Spec, Worker

NOW = datetime(2026, 11, 28, 20, 4, 5, tzinfo=UTC)


def seen(workers: int = 2, jobs: int = 2) -> Seen:
    overview = Overview(
        now=0.0, version="0.1.0", success_rate=0.998, queue=QueueView(tasks=1204, oldest_s=12.0),
        jobs={"running": 2, "queued": 14, "succeeded": 120},
        workers=WorkersView(joined=2, cpus=Used(used=3.5, total=4), memory_mb=Used(used=2048, total=16384),
                            running_tasks=3),
        builds=BuildsView(count=10, hits=9, hit_rate=0.9),
        series=Series(step_s=2, times=[1, 2, 3], tasks_per_s=[0.0, 10.0, 5210.0], queue_tasks=[1, 2, 3],
                      wall_ms_p50=[None, 0.3, None], wall_ms_p99=[None, 12.0, None]),
    )  # fmt: skip
    pool = [
        Worker(id=f"w{number}", state="joined", running=["job 5", "job 5"] * number,
               capacity=Resources(milli_cpus=2000, memory_mb=8192),
               used=Resources(milli_cpus=1000 * number, memory_mb=1000 - number))
        for number in range(workers)
    ]  # fmt: skip
    active = [
        Job(id=number, name="n\x1b[2J" * 9, state="running", task_count=100, task_counts={"succeeded": 40},
            spec=Spec(array="0-99"), started_at=NOW - timedelta(seconds=3), submitted_at=NOW - timedelta(seconds=5))
        for number in range(jobs)
    ]  # fmt: skip
    return Seen(server="http://grid", overview=overview, workers=pool, jobs=active, rates={0: 20.0})


def texts(lines: list[Line]) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def test_what_a_frame_says() -> None:
    lines = texts(frame(seen(), Look(columns=140, keys=False), NOW))
    assert lines[0] == "wasmgrid 0.1.0 · http://grid · 20:04:05"
    assert lines[1].split()[:5] == ["jobs", "2", "running", "14", "queued"]
    assert "99.8% succeed · run p50 300 us, p99 12 ms" in lines[2]
    assert "1,204" in lines[3]
    assert "the oldest for 12.00 s" in lines[3]
    assert "3.5/4 cpus" in lines[4]
    assert "2/16 GiB" in lines[4]
    assert "90% of builds cached" in lines[4]
    workers = [line for line in lines if line.startswith("w1 ")]
    assert "1/2" in workers[0]
    assert workers[0].endswith("job 5 x2")
    job = next(line for line in lines if line.startswith("0  "))
    assert "40/100" in job
    assert "20.0/s" in job
    assert "3 s" in job
    assert "\x1b" not in "".join(lines)


@given(
    st.integers(1, 200), st.integers(1, 60), st.integers(0, 30), st.integers(0, 30), st.sampled_from(sorted(SORTS)),
    st.booleans(),
)  # fmt: skip
def test_a_frame_fits_its_terminal(
    columns: int, rows: int, workers: int, jobs: int, sort: str, ascii_only: bool
) -> None:
    look = Look(columns=columns, rows=rows, sort=sort, ascii_only=ascii_only)
    lines = texts(frame(seen(workers, jobs), look, NOW))
    assert len(lines) == rows
    assert max(map(len, lines)) <= columns


def test_what_has_no_room_is_counted() -> None:
    lines = texts(frame(seen(30, 30), Look(columns=100, rows=24), NOW))
    assert any(line.startswith("and ") and line.endswith(" more workers") for line in lines)
    assert any(line.startswith("and ") and line.endswith(" more jobs") for line in lines)
    assert lines[-1] == " q  quit   s  sorted by name   p  pause"


def test_workers_stand_in_an_order() -> None:
    def first(sort: str) -> str:
        lines = texts(frame(seen(3), Look(columns=100, sort=sort, keys=False), NOW))
        return lines[lines.index(next(line for line in lines if line.startswith("WORKER"))) + 1][:2]

    assert [first(sort) for sort in ("name", "cpus", "memory", "tasks")] == ["w0", "w2", "w0", "w2"]


def test_a_grid_without_anything_says_what_to_type() -> None:
    lines = texts(frame(seen(0, 0), Look(columns=100, keys=False), NOW))
    assert "no worker has joined · start one: wasmgrid worker, or wasmgrid join-command" in lines
    assert any("run one: wasmgrid run" in line for line in lines)


def test_without_a_terminal_it_says_what_does_without(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "-s", "127.0.0.1:1"]) == 2
    assert "one frame for anything else: wasmgrid top --once" in capsys.readouterr().err


def test_sparks_and_bars() -> None:
    assert spark([0, 1, 8], 5) == "   ▁█"
    assert spark([0, 0], 4) == "    "
    assert spark([1, 1000], 2) == "▁█"
    assert spark([0, 1, 8], 3, ascii_only=True) == " .@"
    assert bar(1, 2, 4) == "██░░"
    assert bar(0.001, 2, 4) == "█░░░"
    assert bar(3, 0, 4) == "░░░░"
    assert bar(9, 2, 4, ascii_only=True) == "####"
