"""Jobs of many tasks over HTTP: how they show, their results as pages and as lines, and what runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.server.bench import Bench, BenchWorker, bench, check_problem, result, until

from wasmgrid.core import wire
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import TaskResult

Use = Callable[[Bench], Awaitable[None]]


async def odd_ones_fail(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    """Task 4 prints 4 and succeeds, task 5 prints 5 and exits 1."""
    assert isinstance(assign.work, wire.RunWork)
    index = assign.work.first
    return result(assign, stdout=b"%d\n" % index, code=index % 2)


async def calls(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    """Every call gives its index as a float with a needless zero."""
    assert isinstance(assign.work, wire.RunWork)
    return msgspec.structs.replace(result(assign), return_value=f"{assign.work.first}.0")


def with_bench(home: Path, use: Use, worker: BenchWorker | None = None) -> None:
    async def run() -> None:
        async with bench(home, worker=worker or BenchWorker(run=odd_ones_fail)) as grid:
            await use(grid)

    asyncio.run(run())


async def lines_of(http: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [msgspec.json.decode(line) for line in answer.text.splitlines() if line]


def test_an_array_counts_its_tasks_and_has_no_result_of_its_own(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        job = (await grid.submit(wait=30, array="0-9")).json()
        assert job["state"] == "failed"
        assert job["task_count"] == 10
        assert job["task_counts"] == {"succeeded": 5, "failed": 5}
        assert job["result"] is None
        assert job["stats"]["wall_ms"].keys() == {"p50", "p90", "max"}
        listed = (await grid.http.get("/v1/jobs")).json()["jobs"][0]
        assert listed["task_counts"] == {"succeeded": 5, "failed": 5}

    with_bench(tmp_path, use)


def test_an_array_of_one_task_is_an_array(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        job = (await grid.submit(wait=30, array="4")).json()
        assert job["state"] == "succeeded"
        assert job["result"] is None
        assert job["task_counts"] == {"succeeded": 1}
        assert (await grid.http.get("/v1/jobs/last/stdout", params={"index": 4})).text == "4\n"

    with_bench(tmp_path, use)


def test_tasks_come_in_pages_by_index(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="3,7,10-20")
        indexes, cursor = [], None
        while True:
            params = {"limit": 4} | ({"cursor": cursor} if cursor is not None else {})
            page = (await grid.http.get("/v1/jobs/last/tasks", params=params)).json()
            indexes += [task["index"] for task in page["tasks"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert indexes == [3, 7, *range(10, 21)]

    with_bench(tmp_path, use)


def test_the_tasks_that_failed_are_to_be_had_alone(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="0-5")
        page = (await grid.http.get("/v1/jobs/last/tasks", params={"failed": "true"})).json()
        assert [task["index"] for task in page["tasks"]] == [1, 3, 5]
        page = (await grid.http.get("/v1/jobs/last/tasks", params={"outcome": "trapped"})).json()
        assert page == {"tasks": [], "next_cursor": None}
        lines = await lines_of(grid.http, "/v1/jobs/last/results", failed="true")
        assert sorted(line["index"] for line in lines) == [1, 3, 5]

    with_bench(tmp_path, use)


def test_one_task_shows_its_result(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="2-3")
        task = (await grid.http.get("/v1/jobs/last/tasks/3")).json()
        assert (task["index"], task["stdout"], task["exit_code"]) == (3, "3\n", 1)
        missing = await grid.http.get("/v1/jobs/last/tasks/4")
        problem = check_problem(missing, 404, "not_found", "index")
        assert problem["hint"] == "its tasks: 2-3 · see them: wasmgrid tasks 1"
        check_problem(await grid.http.get("/v1/jobs/last/stdout"), 404, "not_found", "index")
        check_problem(await grid.http.get("/v1/jobs/last/logs"), 404, "not_found", "index")

    with_bench(tmp_path, use)


def test_logs_of_one_task_end_with_its_own_end(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="0-1")
        text = (await grid.http.get("/v1/jobs/last/logs", params={"index": 0})).text
        assert '"data":"0\\n"' in text
        assert '"state":"succeeded"' in text

    with_bench(tmp_path, use)


def test_results_are_lines_that_can_be_resumed(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="0-299")
        path = "/v1/jobs/last/results"
        lines = await lines_of(grid.http, path)
        assert sorted(line["index"] for line in lines) == list(range(300))
        assert lines[0]["outcome"] == "exited"
        assert await lines_of(grid.http, path, after=lines[199]["seq"]) == lines[200:]

    with_bench(tmp_path, use)


def test_results_are_followed_while_the_job_runs(tmp_path: Path) -> None:
    gate = asyncio.Event()
    done: list[int] = []

    async def one_waits(worker: BenchWorker, assign: wire.Assign) -> TaskResult | None:
        assert isinstance(assign.work, wire.RunWork)
        if assign.work.first == 7:
            await gate.wait()
        done.append(assign.work.first)
        return await odd_ones_fail(worker, assign)

    async def use(grid: Bench) -> None:
        await grid.submit(array="0-7")
        reading = asyncio.create_task(lines_of(grid.http, "/v1/jobs/last/results", follow="true"))
        await until(lambda: len(done) == 7)
        gate.set()
        seen = {line["index"] for line in await reading}
        assert seen == set(range(8))

    with_bench(tmp_path, use, BenchWorker(run=one_waits))


def test_values_are_the_text_that_the_function_gave(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="1-2", function="add")
        text = (await grid.http.get("/v1/jobs/last/results", params={"values": "true"})).text
        ends = [line.partition(',"seq":') for line in sorted(text.splitlines())]
        assert [begin for begin, _, _ in ends] == ['{"index":1', '{"index":2']
        assert [end.partition(",")[2] for _, _, end in ends] == ['"return_value":1.0}', '"return_value":2.0}']
        single = (await grid.submit(wait=30, function="add")).json()
        assert single["result"]["return_value"] == 0.0

    with_bench(tmp_path, use, BenchWorker(run=calls))


def test_a_task_without_a_value_says_how_it_ended(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="1")
        (line,) = await lines_of(grid.http, "/v1/jobs/last/results", values="true")
        assert line == {
            "index": 1, "seq": 1, "outcome": "exited", "exit_code": 1, "trap_kind": None, "message": None
        }  # fmt: skip
        (line,) = await lines_of(grid.http, "/v1/jobs/last/results", fields="stdout")
        assert (line["stdout"], line["exit_code"], "stats" in line) == ("1\n", 1, False)
        answer = await grid.http.get("/v1/jobs/last/results", params={"fields": "stderr"})
        check_problem(answer, 422, "invalid_field", "fields")

    with_bench(tmp_path, use)


def test_the_failed_tasks_run_again_under_their_indexes(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        first = (await grid.submit(wait=30, array="0-5", name="sweep", args=["x"])).json()
        answer = await grid.http.post(
            "/v1/jobs/last/rerun", params={"failed": "true", "wait": 30}, json={"args": ["y"]}
        )
        assert answer.status_code == 201
        again = answer.json()
        assert again["id"] != first["id"]
        assert again["spec"]["array"] == "1,3,5"
        assert again["spec"]["args"] == ["y"]
        assert again["name"] == "sweep"
        assert again["module_sha256"] == first["module_sha256"]
        assert again["task_counts"] == {"failed": 3}

    with_bench(tmp_path, use)


def test_a_job_with_lines_runs_again_with_them(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        text = b"a\nb\nc\n"
        assert (await grid.http.put(f"/v1/inputs/{sha256_hex(text)}", content=text)).status_code == 201
        first = (await grid.submit(wait=30, lines={"sha256": sha256_hex(text)})).json()
        assert first["spec"]["lines"] == {"sha256": sha256_hex(text), "use": "stdin", "count": 3}
        assert first["spec"]["array"] == "0-2"
        again = (await grid.http.post("/v1/jobs/last/rerun")).json()
        assert again["spec"]["lines"] == first["spec"]["lines"]

    with_bench(tmp_path, use)


@pytest.mark.parametrize(
    ("params", "body", "field"),
    [
        ({}, {"cpuz": 1}, "cpuz"),
        ({}, {"cpus": -1}, "cpus"),
        ({"failed": "true"}, {"array": "0-3"}, "array"),
        ({}, {"array": "9-3"}, "array"),
    ],
)
def test_what_is_changed_is_checked_like_any_request(
    tmp_path: Path, params: dict[str, str], body: dict[str, Any], field: str
) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="0-3")
        answer = await grid.http.post("/v1/jobs/last/rerun", params=params, json=body)
        check_problem(answer, 422, "invalid_field", field)

    with_bench(tmp_path, use)


def test_nothing_runs_again_where_nothing_failed(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        await grid.submit(wait=30, array="0,2,4")
        answer = await grid.http.post("/v1/jobs/last/rerun", params={"failed": "true"})
        check_problem(answer, 422, "invalid_field", "failed")
        answer = await grid.http.post("/v1/jobs/last/rerun", content=b'{"cpus": 1, "cpus": 2}')
        check_problem(answer, 400, "invalid_request", "cpus")

    with_bench(tmp_path, use)
