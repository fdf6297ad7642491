"""Who had a task before: in pages, for any array, and a cursor or a number that is none is told so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.server.bench import BenchWorker, bench, check_problem, result

from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind

LOST = Outcome(kind=OutcomeKind.LOST, message="its runner crashed")


class CrashesOnce:
    """A worker whose runner crashes at the first attempt of each task."""

    def __init__(self) -> None:
        self.crashed: set[int] = set()

    async def __call__(self, _: BenchWorker, assign: wire.Assign) -> TaskResult | None:
        assert isinstance(assign.work, wire.RunWork)
        index = assign.work.first
        given = replace(result(assign), index=index)
        if index in self.crashed:
            return given
        self.crashed.add(index)
        return replace(given, outcome=LOST)


def test_an_arrays_attempts_come_in_pages(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=CrashesOnce())) as grid:
            await grid.submit(array="5-9", wait=30)
            whole = (await grid.http.get("/v1/jobs/1/attempts")).json()
            assert [each["index"] for each in whole["attempts"]] == [5, 6, 7, 8, 9]
            assert {(each["outcome"], each["count"]) for each in whole["attempts"]} == {(None, 1)}
            assert whole["next_cursor"] is None
            found: list[Any] = []
            cursor: Any = ""
            while cursor is not None:
                page = (await grid.http.get("/v1/jobs/1/attempts", params={"limit": 2, "cursor": cursor})).json()
                found += page["attempts"]
                cursor = page["next_cursor"]
            assert found == whole["attempts"]
            assert (await grid.http.get("/jobs/1.json")).json()["attempts"] == whole["attempts"]
            timeline = (await grid.http.get("/v1/jobs/1/timeline", params={"index": 7})).json()
            assert [(each["index"], each["outcome"]) for each in timeline["attempts"]] == [(7, None), (7, "exited")]

    asyncio.run(story())


def test_what_is_no_position_and_no_number_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30)
            for cursor in ("x", "1", "1:", "-1:0", "1:x", "1:" + "9" * 30, "0" * 20 + "9" * 30 + ":1"):
                answer = await grid.http.get("/v1/jobs/1/attempts", params={"cursor": cursor})
                check_problem(answer, 422, "invalid_field", "cursor")

    asyncio.run(story())


@pytest.mark.parametrize("digits", ["0" * 25 + "9" * 30, "0" * 20 + "1" + "0" * 5000, "9" * 19])
def test_numbers_that_no_database_takes_are_those_of_nothing(tmp_path: Path, digits: str) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30)
            check_problem(await grid.http.get(f"/v1/jobs/{digits}"), 404, "job_not_found")
            listed = await grid.http.get("/v1/jobs", params={"search": digits[:100]})
            assert (listed.status_code, listed.json()["jobs"]) == (200, [])
            answer = await grid.http.get("/v1/jobs/1/tasks", params={"cursor": digits})
            check_problem(answer, 422, "invalid_field", "cursor")
            assert (await grid.http.get(f"/v1/jobs/{'0' * 30}1")).json()["id"] == 1

    asyncio.run(story())
