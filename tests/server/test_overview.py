"""The whole grid at one glance, and as it changes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
from tests.server.bench import AUTHORISED, DEADLINE_S, BenchWorker, bench, listening, result

from wasmgrid.control import meter
from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult


async def never(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    return None


async def fail(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    return result(assign, code=1)


def test_an_empty_grid_has_every_number_and_none_of_them_is_a_lie(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            answer = await grid.http.get("/v1/overview")
            assert answer.status_code == 200, answer.text
            seen = answer.json()
            states = ("building", "queued", "running", "succeeded", "failed", "cancelled")
            assert seen["jobs"] == dict.fromkeys(states, 0)
            assert seen["queue"] == {"tasks": 0, "oldest_s": None}
            assert seen["workers"]["joined"] == 1
            assert seen["workers"]["lost"] == 0
            assert seen["workers"]["cpus"] == {"used": 0.0, "total": 4.0}
            assert seen["workers"]["memory_mb"] == {"used": 0, "total": 8000}
            assert seen["success_rate"] is None
            assert seen["builds"] == {"count": 0, "hits": 0, "hit_rate": None}
            assert seen["series"]["step_s"] == 2
            assert len(seen["series"]) == 13

    asyncio.run(story())


def test_what_runs_waits_and_has_ended_is_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=never)) as grid:
            await grid.submit(cpus=3)
            await grid.submit(cpus=2)
            await asyncio.sleep(0.6)  # what was put together is as fresh as it is said to be
            seen = (await grid.http.get("/v1/overview")).json()
            assert seen["queue"]["tasks"] == 1
            assert seen["queue"]["oldest_s"] >= 0.5
            assert seen["workers"]["cpus"]["used"] == 3.0
            assert seen["workers"]["running_tasks"] == 1
            assert seen["jobs"]["running"] + seen["jobs"]["queued"] == 2

    asyncio.run(story())


def test_tasks_that_ended_are_in_the_rate_and_in_the_series(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=fail)) as grid:
            await grid.submit(wait=30)
            await grid.submit(wait=30, array="0-9")
            seen = (await grid.http.get("/v1/overview")).json()
            assert seen["success_rate"] == 0.0
            assert seen["jobs"]["failed"] == 2
            assert grid.control.leading is not None
            grid.control.meter.step(meter.Gauge(0, 0, 0.0, 0), at=1.0, now=asyncio.get_running_loop().time())
            await asyncio.sleep(0.6)
            series = (await grid.http.get("/v1/overview")).json()["series"]
            assert max(series["tasks_per_s"]) > 0
            assert 0.0 in series["success_rate"]
            assert all(len(values) == len(series["times"]) for name, values in series.items() if name != "step_s")

    asyncio.run(story())


def test_events_tell_the_newest_point_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            for at in (1.0, 3.0, 5.0):
                grid.control.meter.step(meter.Gauge(0, 0, 0.0, 0), at=at, now=at)
            async with (
                listening(grid.app) as url,
                httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=DEADLINE_S) as client,
                client.stream("GET", "/v1/overview/events") as stream,
            ):
                lines = stream.aiter_lines()
                assert await anext(lines) == "event: overview"
                seen = json.loads((await anext(lines)).removeprefix("data: "))
                assert len(seen["series"]["times"]) == 1
                assert seen["jobs"].keys() >= {"queued", "running"}

    asyncio.run(story())


def test_many_who_ask_at_once_cost_one_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            answers = await asyncio.gather(*(grid.http.get("/v1/overview") for _ in range(20)))
            assert len({answer.json()["now"] for answer in answers}) == 1

    asyncio.run(story())
