"""What Prometheus is told: true numbers, names of the documents, bounded labels, and nothing without the token."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from tests.server.bench import Bench, BenchWorker, bench, check_problem, result, until

from wasmgrid.core import wire
from wasmgrid.core.job import Stats, TaskResult
from wasmgrid.core.outcome import exited

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def sometimes(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    """Odd tasks fail; each runs 3 ms."""
    assert isinstance(assign.work, wire.RunWork)
    given = replace(result(assign, code=assign.work.first % 2), index=assign.work.first)
    return replace(given, stats=Stats(wall_ms=3.0))


async def scrape(grid: Bench) -> Samples:
    answer = await grid.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"wasmgrid_{name}", frozenset(labels.items())]


def test_the_numbers_are_those_of_what_happened(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=sometimes)) as grid:
            await grid.submit(wait=30, array="0-9", name="<secret name>")
            await grid.submit(wait=30)
            await grid.submit(cpus=500)
            await asyncio.sleep(0.01)
            seen = await scrape(grid)
            assert value(seen, "leader") == value(seen, "takeovers_total") == 1
            assert value(seen, "tasks_total", outcome="succeeded") == 6
            assert value(seen, "tasks_total", outcome="exited") == 5
            assert value(seen, "jobs_ended_total", state="failed") == 1
            assert value(seen, "jobs", state="queued") == 1
            assert value(seen, "queue_tasks") == 1
            assert value(seen, "workers", state="joined") == 1
            assert value(seen, "cpus") == 4.0
            assert value(seen, "results_total") == 11
            assert value(seen, "stale_results_total") == 0
            assert value(seen, "task_run_seconds_count") == 11
            assert 0.032 < value(seen, "task_run_seconds_sum") < 0.034
            assert value(seen, "http_requests_total", method="POST", route="/v1/jobs", status="201") == 3
            assert value(seen, "home_free_bytes") > 0
            assert ("process_resident_memory_bytes", frozenset()) in seen

    asyncio.run(story())


def test_buckets_of_a_histogram_never_fall(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=sometimes)) as grid:
            await grid.submit(wait=30, array="0-9")
            for name in ("task_run_seconds", "task_queue_seconds"):
                buckets = sorted(
                    (float(dict(labels)["le"]), count)
                    for (of, labels), count in (await scrape(grid)).items()
                    if of == f"wasmgrid_{name}_bucket"
                )
                counts = [count for _, count in buckets]
                assert counts == sorted(counts)
                assert counts[-1] == 10
                assert buckets[-1][0] == float("inf")

    asyncio.run(story())


def test_a_stale_result_is_refused_and_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30)
            late = TaskResult(job_id=1, index=0, attempt=(1 << 32) + 1, worker_id="bench", outcome=exited(0))
            leading = grid.control.leading
            assert leading is not None
            await until(lambda: not leading.has(1))
            await grid.submit(array="0-1", cpus=500)
            stray = replace(late, job_id=2)
            await grid.worker._say(wire.Results(worker_id="bench", incarnation="1", tasks=[stray]))
            assert value(await scrape(grid), "stale_results_total") == 1

    asyncio.run(story())


def test_labels_are_bounded_whatever_is_asked_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            for number in range(20):
                await grid.http.get(f"/v1/jobs/{number}")
                await grid.http.get(f"/nowhere/{number}")
                await grid.http.request(f"X{number}", "/v1/jobs")
                await grid.http.get("/v1/jobs", headers={"Authorization": "Bearer wrong"})
            routes = {labels for name, labels in await scrape(grid) if name == "wasmgrid_http_requests_total"}
            assert len(routes) < 10
            shown = {dict(labels)["route"] for labels in routes}
            assert "none" in shown
            assert not [route for route in shown if re.search(r"\d{2}|/1$", route.replace("/v1", ""))]

    asyncio.run(story())


def test_it_is_behind_the_token_and_every_metric_is_documented(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            refused = await grid.http.get("/metrics", headers={"Authorization": ""})
            check_problem(refused, 401, "unauthorized")
            text = (await grid.http.get("/metrics")).text
            names = set(re.findall(r"^# TYPE (wasmgrid_\w+)", text, re.MULTILINE))
            assert len(names) > 30
            documented = OPERATING.read_text()
            assert {name for name in names if f"`{name}`" not in documented} == set()
            known = set(re.findall(r"`(wasmgrid_\w+)`", documented))
            assert known == names

    asyncio.run(story())
