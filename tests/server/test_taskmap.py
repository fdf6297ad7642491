"""The map of an array: cells against a count by hand, states while it runs, groups of failures, and bounds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.server.bench import BenchWorker, bench, check_problem, result, until

from wasmgrid.core import wire
from wasmgrid.core.job import Stats, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Ranges
from wasmgrid.server import taskmap
from wasmgrid.server.cells import Cells
from wasmgrid.store import taskmap as lookups

SETS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), min_size=1, max_size=12).map(Ranges)


@given(SETS, SETS, st.integers(1, 60))
def test_cells_count_as_one_would_by_hand(tasks: Ranges, others: Ranges, most: int) -> None:
    cells = Cells(tasks.runs(), most)
    every = list(tasks)
    per_cell = [every[at : at + cells.per_cell] for at in range(0, len(every), cells.per_cell)]
    assert cells.count == len(per_cell) <= most
    assert cells.sizes().tolist() == [len(cell) for cell in per_cell]
    assert cells.first_indexes() == [cell[0] for cell in per_cell]
    some = Ranges((index, 1) for index in every if index in others)
    assert cells.counted(some.runs()).tolist() == [sum(index in some for index in cell) for cell in per_cell]
    assert cells.of(every).tolist() == [number for number, cell in enumerate(per_cell) for _ in cell]


@given(SETS, st.integers(1, 60), st.integers(1, 10))
def test_rounds_look_at_different_tasks_of_every_cell_and_at_all_where_they_may(
    tasks: Ranges, most: int, looks: int
) -> None:
    cells = Cells(tasks.runs(), most)
    rounds = cells.rounds(looks)
    looked = [index for each in rounds for index in each]
    assert len(rounds) == min(looks, cells.per_cell)
    assert len(set(looked)) == len(looked)
    assert set(looked) <= set(tasks)
    if looks >= cells.per_cell:
        assert sorted(looked) == list(tasks)


async def mixed(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    """Of 30 tasks: 5, 6 and 7 trap, 20 exits with 3, 29 never ends; each runs for its index in ms."""
    assert isinstance(assign.work, wire.RunWork)
    index = assign.work.first
    if index == 29:
        return None
    given = replace(result(assign, code=3 if index == 20 else 0), index=index, stats=Stats(wall_ms=float(index)))
    if index in {5, 6, 7}:
        return replace(given, outcome=Outcome(kind=OutcomeKind.TRAPPED, trap_kind="unreachable"))
    return given


def test_a_map_shows_states_durations_and_failures_while_it_runs_and_after(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=mixed)) as grid:
            await grid.submit(array="0-29")
            leading = grid.control.leading
            assert leading is not None
            await until(lambda: leading.has(1) and len(leading.state.jobs[1].done) == 29)
            await until(lambda: not leading.state.jobs[1].writing)
            seen = (await grid.http.get("/v1/jobs/1/tasks/map", params={"cells": 10})).json()
            assert seen["task_count"] == 30
            assert seen["tasks_per_cell"] == 3
            assert seen["first_index"] == list(range(0, 30, 3))
            ok = "succeeded"
            assert seen["state"] == [ok, "failed", "failed", ok, ok, ok, "failed", ok, ok, "running"]
            assert seen["failed"] == [0, 1, 2, 0, 0, 0, 1, 0, 0, 0]
            assert seen["wall_ms"] == [2.0, 5.0, 8.0, 11.0, 14.0, 17.0, 20.0, 23.0, 26.0, 28.0]
            assert seen["exact"] is True
            assert seen["results_read"] == 29
            assert sum(seen["histogram"]["counts"]) == 29
            assert len(seen["histogram"]["edges_ms"]) == len(seen["histogram"]["counts"]) + 1
            assert seen["failures"] == [
                {"outcome": "trapped", "detail": "unreachable", "count": 3, "indexes": [5, 6, 7]},
                {"outcome": "exited", "detail": "exit code 3", "count": 1, "indexes": [20]},
            ]
            await grid.http.post("/v1/jobs/1/cancel")

    asyncio.run(story())


def test_what_waits_is_queued_and_what_was_cancelled_unrun_is_cancelled(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(array="3,10-18", cpus=500)
            seen = (await grid.http.get("/v1/jobs/1/tasks/map", params={"cells": 5})).json()
            assert seen["first_index"] == [3, 11, 13, 15, 17]
            assert set(seen["state"]) == {"queued"}
            assert set(seen["wall_ms"]) == {None}
            assert seen["histogram"] == {"edges_ms": [], "counts": []}
            await grid.http.post("/v1/jobs/1/cancel")
            await grid.http.get("/v1/jobs/1", params={"wait": 30})
            seen = (await grid.http.get("/v1/jobs/1/tasks/map", params={"cells": 5})).json()
            assert set(seen["state"]) == {"cancelled"}
            assert seen["failed"] == [0] * 5
            assert [(each["outcome"], each["count"]) for each in seen["failures"]] == [("cancelled", 10)]

    asyncio.run(story())


def test_of_many_tasks_as_much_is_read_as_of_few_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taskmap, "LOOKS", 20)
    monkeypatch.setattr(lookups, "MOST_FAILED", 4)
    monkeypatch.setattr(lookups, "MOST_EXPLAINED", 3)

    async def fail(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
        assert isinstance(assign.work, wire.RunWork)
        return replace(result(assign, code=1), index=assign.work.first, stats=Stats(wall_ms=1.0))

    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=fail)) as grid:
            await grid.submit(array="0-99", wait=60)
            seen = (await grid.http.get("/v1/jobs/1/tasks/map", params={"cells": 10})).json()
            assert seen["exact"] is False
            assert seen["results_read"] == 20
            assert seen["failures_read"] == 3
            assert seen["failures"][0]["indexes"] == [0, 1, 2]
            assert set(seen["state"]) == {"failed"}
            assert sum(seen["failed"]) == pytest.approx(100, abs=10)

    asyncio.run(story())


def test_a_single_job_is_a_map_of_one_and_nonsense_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30)
            seen = (await grid.http.get("/v1/jobs/1/tasks/map")).json()
            assert (seen["task_count"], seen["state"]) == (1, ["succeeded"])
            assert (await grid.http.get("/v1/jobs/1/tasks/map", params={"cells": 0})).status_code == 422
            check_problem(await grid.http.get("/v1/jobs/7/tasks/map"), 404, "job_not_found")

    asyncio.run(story())
