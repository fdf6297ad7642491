"""A job's way through the six stages: in order, without holes where it has been, and live where it is."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.server.bench import Bench, BenchWorker, bench, check_problem, result, until

from wasmgrid.core import wire
from wasmgrid.core.job import BuildResult, Stats, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind

STAGES = ["submit", "build", "queue", "match", "run", "result"]


async def never(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    return None


async def measured(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    assert isinstance(assign.work, wire.RunWork)
    stats = Stats(fetch_ms=5.0, precompile_ms=20.0, instantiate_ms=0.5, wall_ms=7.0, module_cached=True)
    given = replace(result(assign), index=assign.work.first, stats=stats)
    return replace(given, finished_at=given.started_at + 0.007)


async def way(grid: Bench, ref: str = "last", **params: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The timeline, and its stages by name; those that are known begin where the one before ended, or later."""
    answer = await grid.http.get(f"/v1/jobs/{ref}/timeline", params=params)
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    assert [stage["stage"] for stage in seen["stages"]] == STAGES
    times = [at for stage in seen["stages"] for at in (stage["started_at"], stage["ended_at"]) if at is not None]
    moments = [datetime.fromisoformat(at) for at in times]
    assert moments == sorted(moments)
    assert all(stage["ms"] is None or stage["ms"] >= 0 for stage in seen["stages"])
    return seen, {stage["stage"]: stage for stage in seen["stages"]}


def test_a_job_that_ran_has_been_through_all(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=measured)) as grid:
            job = (await grid.submit(wait=30)).json()
            seen, stages = await way(grid)
            assert seen["state"] == "succeeded"
            assert seen["index"] == 0
            assert stages["build"]["state"] == "skipped"
            assert {stage["state"] for name, stage in stages.items() if name != "build"} == {"done"}
            assert stages["submit"]["started_at"] == job["submitted_at"]
            assert stages["queue"]["ms"] == job["result"]["stats"]["queue_ms"]
            assert stages["match"]["detail"] == "bench"
            assert (stages["run"]["ms"], stages["run"]["detail"]) == (7.0, "exited")
            assert stages["result"]["ended_at"] >= job["finished_at"]
            steps = [(step["stage"], step["ms"], step["detail"]) for step in seen["steps"]]
            expected = [("fetch", 5.0, "cached"), ("precompile", 20.0, ""), ("instantiate", 0.5, ""), ("wall", 7.0, "")]
            assert steps == expected
            (attempt,) = seen["attempts"]
            assert (attempt["worker_id"], attempt["outcome"], attempt["phase"]) == ("bench", "exited", None)

    asyncio.run(story())


def test_a_job_is_where_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=never)) as grid:
            await grid.submit()
            leading = grid.control.leading
            assert leading is not None
            await until(lambda: bool(leading.state.chunks.of("run", 1)))
            seen, stages = await way(grid, "1")
            assert stages["match"]["detail"] == "bench"
            assert stages["run"]["state"] == "active"
            assert stages["result"]["state"] == "pending"
            assert seen["attempts"][0]["phase"] == "assigned"
            assert seen["attempts"][0]["assigned_at"] is not None
            await grid.submit(cpus=500)
            _, stages = await way(grid, "2")
            assert stages["queue"]["state"] == "active"
            assert "cpus" in stages["queue"]["detail"]
            assert stages["run"]["state"] == "pending"
            await grid.http.post("/v1/jobs/2/cancel")
            await grid.http.get("/v1/jobs/2", params={"wait": 30})
            seen, stages = await way(grid, "2")
            assert seen["state"] == "cancelled"
            assert stages["run"]["state"] == "skipped"
            assert seen["attempts"] == seen["steps"] == []

    asyncio.run(story())


def test_a_build_is_a_stage_and_one_that_fails_is_the_last(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=never)) as grid:
            grid.worker._perform = refuse(grid.worker)  # type: ignore[method-assign]
            job = await grid.submit(source={"files": {"a.c": "int main( {"}})
            assert job.status_code == 201, job.text
            await grid.http.get("/v1/jobs/1", params={"wait": 30})
            seen, stages = await way(grid)
            assert seen["state"] == "failed"
            assert (stages["build"]["state"], stages["build"]["ms"]) == ("done", 12.5)
            assert stages["queue"]["state"] == stages["run"]["state"] == "skipped"
            await grid.submit(source={"files": {"a.c": "int main( {"}}, wait=30)
            _, stages = await way(grid)
            assert (stages["build"]["ms"], stages["build"]["detail"]) == (0.0, "cached")

    asyncio.run(story())


def refuse(worker: BenchWorker) -> Any:
    """A worker whose compiler knows no C."""

    async def perform(assign: wire.Assign) -> None:
        assert isinstance(assign.work, wire.BuildWork)
        outcome = Outcome(kind=OutcomeKind.BUILD_FAILED, message="the source does not compile")
        built = BuildResult(
            build_id=assign.work.build_id, attempt=assign.attempt, worker_id="bench", outcome=outcome, build_ms=12.5
        )
        await worker._say(wire.Results(worker_id="bench", incarnation="1", builds=[built]))

    return perform


def test_of_an_array_the_whole_or_one_task(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=measured)) as grid:
            await grid.submit(array="0-9", wait=30)
            seen, stages = await way(grid)
            assert seen["index"] is None
            assert stages["run"]["state"] == "done"
            assert seen["steps"] == []
            seen, stages = await way(grid, index=4)
            assert (seen["index"], stages["run"]["ms"]) == (4, 7.0)
            assert [each["index"] for each in seen["attempts"]] == [4]
            check_problem(await grid.http.get("/v1/jobs/1/timeline", params={"index": 10}), 404, "not_found", "index")
            check_problem(await grid.http.get("/v1/jobs/9/timeline"), 404, "job_not_found")

    asyncio.run(story())
