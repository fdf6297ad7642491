"""Waiting for any of many jobs: one request, answered as soon as one has ended."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.server.bench import Bench, BenchWorker, bench, check_problem, result
from tests.server.test_batch import with_bench

from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult

WAIT = "/v1/jobs:wait"


def test_the_first_that_ends_is_the_answer(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def only_the_second(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
        assert isinstance(assign.work, wire.RunWork)
        if assign.work.job_id != 2:
            return None
        await release.wait()
        return result(assign, stdout=b"the second")

    async def run() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=only_the_second)) as grid:
            for _ in range(3):
                await grid.submit()
            assert (await grid.http.post(WAIT, json=[1, 2, 3])).json() == {"jobs": [], "missing": []}
            waiting = asyncio.create_task(grid.http.post(WAIT, json=[1, 2, 3], params={"wait": 30}))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            release.set()
            (job,) = (await waiting).json()["jobs"]
            assert (job["id"], job["state"], job["result"]["stdout"]) == (2, "succeeded", "the second")
            began = time.monotonic()
            assert (await grid.http.post(WAIT, json=[1, 3], params={"wait": 0.2})).json()["jobs"] == []
            assert time.monotonic() - began >= 0.2

    asyncio.run(run())


def test_what_ended_before_and_what_is_not_there(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        for _ in range(120):
            await grid.submit(wait=30)
        answer = (await grid.http.post(WAIT, json=[*range(1, 121), 5, 999], params={"wait": 30})).json()
        assert [job["id"] for job in answer["jobs"]] == list(range(1, 101))
        answer = (await grid.http.post(WAIT, json=[7, 999], params={"wait": 30})).json()
        assert ([job["id"] for job in answer["jobs"]], answer["missing"]) == ([7], [999])
        assert (await grid.http.post(WAIT, json=[], params={"wait": 30})).json() == {"jobs": [], "missing": []}
        check_problem(await grid.http.post(WAIT, json=["x"]), 400, "invalid_request")
        check_problem(await grid.http.post(WAIT, json=[0]), 400, "invalid_request")
        check_problem(await grid.http.post(WAIT, json=list(range(1, 10_002))), 413, "too_large")

    with_bench(tmp_path, use)


def test_a_source_without_a_name_gets_that_of_its_language(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        source = {"files": {"main": "int main(void) { return 0; }"}}
        job = (await grid.submit(source=source)).json()
        assert (job["spec"]["source"]["entry"], job["spec"]["source"]["paths"]) == ("main.c", ["main.c"])

    with_bench(tmp_path, use)
