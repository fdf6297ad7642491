"""Submitting, waiting, listing, looking, cancelling."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.server.bench import BenchWorker, bench, check_problem, result

from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult


async def never(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
    return None


def test_a_job_goes_through_and_its_answer_has_everything(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            answer = await grid.submit(wait=30, name="sleep", args=["a"], env={"K": "V"})
            assert answer.status_code == 201
            job = answer.json()
            assert job["id"] == 1
            assert job["name"] == "sleep"
            assert job["state"] == "succeeded"
            assert job["finished"] is True
            assert job["result"]["outcome"] == "exited"
            assert job["result"]["exit_code"] == 0
            assert job["result"]["stdout"] == "hello\n"
            assert job["result"]["stdout_base64"] is None
            assert job["task_counts"] == {"succeeded": 1}
            assert job["module_bytes"] > 0
            assert job["stats"]["wall_ms"].keys() == {"p50", "p90", "max"}
            assert job["submitted_at"].endswith("Z")
            assert job["spec"]["args"] == ["a"]
            assert (await grid.http.get("/v1/jobs/1")).json() == job
            assert (await grid.http.get("/v1/jobs/last")).json() == job

    asyncio.run(story())


def test_without_wait_the_answer_comes_at_once_and_waiting_works_later(tmp_path: Path) -> None:
    async def story() -> None:
        released = asyncio.Event()

        async def when_released(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
            await released.wait()
            return result(assign)

        async with bench(tmp_path, worker=BenchWorker(run=when_released)) as grid:
            job = (await grid.submit()).json()
            assert job["finished"] is False
            assert job["result"] is None
            still = (await grid.http.get("/v1/jobs/1", params={"wait": 0.05})).json()
            assert still["finished"] is False
            waiting = asyncio.create_task(grid.http.get("/v1/jobs/1", params={"wait": 60}))
            released.set()
            assert (await waiting).json()["state"] == "succeeded"

    asyncio.run(story())


def test_a_running_job_is_shown_and_listed_as_running(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, worker=BenchWorker(run=never)) as grid:
            await grid.submit(name="one")
            await grid.submit(name="two", cpus=500)
            job = (await grid.http.get("/v1/jobs/1")).json()
            assert job["state"] in {"queued", "running"}
            queued = (await grid.http.get("/v1/jobs", params={"state": "queued"})).json()["jobs"]
            assert 2 in {each["id"] for each in queued}
            assert queued[0]["state_reason"]
            both = (await grid.http.get("/v1/jobs", params=[("state", "queued"), ("state", "running")])).json()
            assert [each["id"] for each in both["jobs"]] == [2, 1]

    asyncio.run(story())


def test_pages_go_through_all_jobs_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            for number in range(7):
                await grid.submit(wait=30, name="even" if number % 2 == 0 else "odd")
            seen: list[int] = []
            cursor = None
            while True:
                page = (await grid.http.get("/v1/jobs", params={"limit": 3, "cursor": cursor or ""})).json()
                seen += [job["id"] for job in page["jobs"]]
                assert all(job["result"]["stdout"] == "" for job in page["jobs"])
                assert all(job["result"]["stdout_bytes"] == 6 for job in page["jobs"])
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert seen == [7, 6, 5, 4, 3, 2, 1]
            odd = (await grid.http.get("/v1/jobs", params={"name": "odd"})).json()["jobs"]
            assert [job["id"] for job in odd] == [6, 4, 2]
            none = (await grid.http.get("/v1/jobs", params={"state": "failed"})).json()
            assert none == {"jobs": [], "next_cursor": None, "cut": False}

    asyncio.run(story())


def test_list_parameters_are_checked(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            for params, field in (
                ({"state": "sleeping"}, "state"),
                ({"limit": 0}, "limit"),
                ({"limit": "many"}, "limit"),
                ({"cursor": "../1"}, "cursor"),
            ):
                check_problem(await grid.http.get("/v1/jobs", params=params), 422, "invalid_field", field)

    asyncio.run(story())


def test_cancel_ends_a_job_and_leaves_a_finished_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(cpus=500)
            assert (await grid.http.post("/v1/jobs/1/cancel")).status_code == 200
            job = (await grid.http.get("/v1/jobs/1", params={"wait": 30})).json()
            assert job["state"] == "cancelled"
            await grid.submit(wait=30)
            assert (await grid.http.post("/v1/jobs/2/cancel")).json()["state"] == "succeeded"

    asyncio.run(story())


def test_unknown_jobs_are_404_with_the_next_command(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            check_problem(await grid.http.get("/v1/jobs/last"), 404, "job_not_found")
            await grid.submit(wait=30)
            body = check_problem(await grid.http.get("/v1/jobs/99"), 404, "job_not_found")
            assert "latest is 1" in body["detail"]
            assert "wasmgrid jobs" in body["hint"]
            for path in ("/v1/jobs/99/cancel",):
                check_problem(await grid.http.post(path), 404, "job_not_found")

    asyncio.run(story())


def test_a_request_that_nobody_can_run_warns_or_is_refused(tmp_path: Path) -> None:
    """The API's half of row 56."""

    async def story() -> None:
        async with bench(tmp_path) as grid:
            job = (await grid.submit(memory_mb=100_000)).json()
            assert "memory" in job["warnings"][0]
            check_problem(await grid.submit(memory_mb=100_000, fail_fast=True), 409, "unsatisfiable")
            why = (await grid.http.get("/v1/jobs/1/why")).json()
            assert why["workers"][0]["mismatches"]

    asyncio.run(story())


def test_a_job_names_its_module_and_inputs_only_where_they_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            absent = "ab" * 32
            check_problem(await grid.submit(module_sha256=absent), 422, "module_not_found", "module_sha256")
            answer = await grid.submit(inputs=[{"path": "/in/x", "sha256": absent}])
            check_problem(answer, 422, "input_not_found", "inputs[0].sha256")

    asyncio.run(story())
