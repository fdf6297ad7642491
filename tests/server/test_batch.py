"""Many jobs in one request: each answered in its place, and one that cannot be is no other's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.server.bench import Bench, bench, check_problem

BATCH = "/v1/jobs:batch"


def with_bench(home: Path, use: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with bench(home) as grid:
            await use(grid)

    asyncio.run(run())


def test_many_jobs_are_answered_in_their_order(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        module = await grid.module()
        specs = [{"module_sha256": module, "name": str(number)} for number in range(60)]
        answer = await grid.http.post(BATCH, json=specs, params={"wait": 30})
        assert answer.status_code == 200, answer.text
        jobs = [item["job"] for item in answer.json()["jobs"]]
        assert [job["name"] for job in jobs] == [str(number) for number in range(60)]
        assert {job["state"] for job in jobs} == {"succeeded"}
        assert {job["result"]["stdout"] for job in jobs} == {"hello\n"}

    with_bench(tmp_path, use)


def test_jobs_that_cannot_be_say_why_in_their_place(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        module = await grid.module()
        specs: list[Any] = [
            {"module_sha256": module},
            {"module_sha256": module, "cpuz": 1},
            {"module_sha256": "0" * 64},
            7,
            {"source": {"files": {"a.c": "int main(void) { return 0; }"}}},
            {"module_sha256": module, "array": "5-3"},
        ]
        items = (await grid.http.post(BATCH, json=specs)).json()["jobs"]
        assert [sorted(item) for item in items] == [["job"], ["error"], ["error"], ["error"], ["job"], ["error"]]
        assert [item["error"]["field"] for item in items if "error" in item] == [
            "cpuz", "module_sha256", None, "array"
        ]  # fmt: skip
        assert items[0]["job"]["id"] < items[4]["job"]["id"]

    with_bench(tmp_path, use)


def test_an_idempotency_key_counts_within_a_batch(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        module = await grid.module()
        same = {"module_sha256": module, "idempotency_key": "k"}
        items = (await grid.http.post(BATCH, json=[same, same, same | {"cpus": 2}])).json()["jobs"]
        assert items[0]["job"]["id"] == items[1]["job"]["id"]
        assert items[2]["error"]["code"] == "idempotency_conflict"

    with_bench(tmp_path, use)


def test_a_batch_has_bounds(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        check_problem(await grid.http.post(BATCH, json=[{}] * 1001), 413, "too_large")
        check_problem(await grid.http.post(BATCH, content=b'{"a": 1}'), 400, "invalid_request")
        check_problem(await grid.http.post(BATCH, content=b"[1, 2"), 400, "invalid_request")
        assert (await grid.http.post(BATCH, json=[])).json() == {"jobs": []}

    with_bench(tmp_path, use)
