"""Lists of jobs over HTTP: what runs is found although the store does not know it; bad questions name their field."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.server.bench import Bench, BenchWorker, bench, check_problem, result, until

from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult


async def ids(grid: Bench, **params: Any) -> list[int]:
    answer = await grid.http.get("/v1/jobs", params=params)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def test_what_runs_and_where_is_found(tmp_path: Path) -> None:
    async def story() -> None:
        started: list[int] = []

        async def only_the_first(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
            assert isinstance(assign.work, wire.RunWork)
            started.append(assign.work.job_id)
            return result(assign) if assign.work.job_id == 1 else None

        async with bench(tmp_path, worker=BenchWorker(run=only_the_first)) as grid:
            await grid.submit(wait=30, name="first")
            await grid.submit(name="second")
            await grid.submit(name="third", cpus=500)
            await until(lambda: 2 in started)
            leading = grid.control.leading
            assert leading is not None
            chunk = leading.state.chunks.of("run", 2)[0]
            held = wire.Held(attempt=chunk.attempt, kind="run", id=2, index=0, phase="running")
            await grid.worker._say(wire.Progress(worker_id="bench", incarnation="1", held=[held]))
            assert await ids(grid, state="running") == [2]
            assert await ids(grid, state="queued") == [3]
            assert await ids(grid, state=["running", "queued"]) == [3, 2]
            assert await ids(grid, worker="bench") == [2, 1]
            assert await ids(grid, worker="nobody") == []
            assert await ids(grid, search="sec") == [2]
            assert await ids(grid, search="1") == [1]
            assert await ids(grid, sort="oldest") == [1, 2, 3]
            assert await ids(grid, sort="finished") == [1]
            assert await ids(grid, since="2000-01-01T00:00:00Z", until="2100-01-01") == [3, 2, 1]
            assert await ids(grid, since="4102444800") == []

    asyncio.run(story())


def test_pages_in_every_order_go_through_all_jobs_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            for number in range(7):
                await grid.submit(wait=30, name=f"job {number}")
            for sort, expected in (("newest", [7, 6, 5, 4, 3, 2, 1]), ("oldest", [1, 2, 3, 4, 5, 6, 7])):
                assert await all_pages(grid, sort=sort) == expected
                assert await all_pages(grid, sort=sort, search="job") == expected
                assert await all_pages(grid, sort=sort, state="succeeded") == expected
            assert await all_pages(grid, sort="finished") == [7, 6, 5, 4, 3, 2, 1]

    asyncio.run(story())


async def all_pages(grid: Bench, **params: Any) -> list[int]:
    found: list[int] = []
    cursor: Any = ""
    while cursor is not None:
        page = (await grid.http.get("/v1/jobs", params={**params, "limit": 3, "cursor": cursor})).json()
        assert page["cut"] is False
        found += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [("sort", "name"), ("since", "yesterday"), ("until", "9" * 30), ("cursor", "-"), ("cursor", "1-x"), ("state", "x")],
)
def test_what_cannot_be_asked_is_said_with_its_field(tmp_path: Path, field: str, value: str) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            check_problem(await grid.http.get("/v1/jobs", params={field: value}), 422, "invalid_field", field)

    asyncio.run(story())


def test_text_that_is_looked_for_is_taken_literally(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30, name="a%b'; DROP TABLE jobs; --")
            for text in ("%b'; DROP", "a%b", "'; drop"):
                assert await ids(grid, search=text) == [1]
            for text in ("a_b", "a\0b", "\\", "\N{SNOWMAN}"):
                assert await ids(grid, search=text) == []

    asyncio.run(story())
