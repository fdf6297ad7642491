"""The short way of a submission: it answers what the route answers, and refuses what the route refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.bench import AUTHORISED, Bench, bench, check_problem, listening, until

from wasmgrid.server.headers import SAFE
from wasmgrid.server.http import GATHERED_BYTES, Gathering


def with_bench(home: Path, use: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with bench(home) as grid:
            await use(grid)

    asyncio.run(run())


def test_both_ways_answer_the_same(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        spec = {"module_sha256": await grid.module(), "args": ["x"], "idempotency_key": "same"}
        short = await grid.http.post("/v1/jobs", json=spec, params={"wait": "30"})
        long = await grid.http.post("/v1/jobs", json=spec, params={"wait": "30", "other": "1"})
        assert (short.status_code, long.status_code) == (201, 200)
        assert short.json() == long.json()
        stored = await grid.http.get("/v1/jobs/last")
        assert short.json() == stored.json()
        for answer in (short, long):
            assert answer.headers["content-type"] == "application/json"
            assert {name: answer.headers[name] for name in SAFE} == SAFE

    with_bench(tmp_path, use)


@pytest.mark.parametrize("query", ["wait=x", "wait=1&wait=2", "wait=1e400", "wait=nan", "other=%ff"])
def test_a_query_that_says_anything_else_is_judged_by_the_route(tmp_path: Path, query: str) -> None:
    async def use(grid: Bench) -> None:
        answer = await grid.http.post(f"/v1/jobs?{query}", json={"module_sha256": await grid.module()})
        assert answer.status_code in {201, 422}, answer.text

    with_bench(tmp_path, use)


def test_refusals_are_problems(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        check_problem(await grid.http.post("/v1/jobs", json={"cpuz": 1}), 422, "invalid_field", "cpuz")
        check_problem(await grid.http.post("/v1/jobs", content=b"{"), 400, "invalid_request")
        stranger = await grid.http.post("/v1/jobs", json={}, headers={"Authorization": "Bearer no"})
        check_problem(stranger, 401, "unauthorized")
        text = await grid.http.post("/v1/jobs", content=b"{}", headers={"Content-Type": "text/plain"})
        check_problem(text, 400, "invalid_request")

    with_bench(tmp_path, use)


def test_a_bug_on_the_short_way_is_an_incident(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        def burst(_: Any) -> None:
            raise RuntimeError("the secret is hunter2")

        grid.store.submit = burst  # type: ignore[method-assign, assignment]
        answer = await grid.submit()
        body = check_problem(answer, 500, "internal")
        assert "hunter2" not in answer.text
        assert "incident" in body["detail"]

    with_bench(tmp_path, use)


def test_a_job_that_is_waited_for_is_shown_as_the_store_has_it(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        answers = await asyncio.gather(*(grid.submit(wait=30, name=str(number)) for number in range(40)))
        for answer in answers:
            assert answer.json() == (await grid.http.get(f"/v1/jobs/{answer.json()['id']}")).json()

    with_bench(tmp_path, use)


def test_responses_over_a_socket_come_whole(tmp_path: Path) -> None:
    async def use(grid: Bench) -> None:
        module = await grid.module()
        async with listening(grid.app) as url, httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=60) as http:
            for _ in range(3):
                answer = await http.post("/v1/jobs?wait=30", json={"module_sha256": module})
                assert answer.json()["state"] == "succeeded"

    with_bench(tmp_path, use)


class _Wire:
    """A transport that notes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_what_is_written_in_one_turn_is_one_write() -> None:
    async def run() -> None:
        wire: Any = _Wire()
        gathering = Gathering(wire, asyncio.get_running_loop())
        gathering.write(b"head ")
        gathering.write(b"body")
        assert wire.written == []
        await until(lambda: bool(wire.written))
        assert wire.written == [b"head body"]
        gathering.write(b"x" * GATHERED_BYTES)
        gathering.write(b"y")
        assert len(wire.written) == 2  # what is long does not wait, so that the transport's limits hold
        gathering.write(b"last words")
        gathering.close()
        assert wire.written[-1] == b"last words"
        assert gathering.is_closing()

    asyncio.run(run())
