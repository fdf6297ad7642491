"""A session's beginning and end: what an agent leaves is not left running, a grid that is away is an answer."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import anyio
import pytest
from tests.e2e.grid import Grid, running
from tests.mcp.conftest import parameters, talking
from tests.mcp.programs import SPINNING, printing

import mcp
from wasmgrid.cli.main import main
from wasmgrid.sdk.client import Client

LONG = {"source": SPINNING, "language": "wat", "time_limit_s": 250, "wait_s": 250}
ENDS_S = 30.0


def newest(grid: Grid) -> int:
    with Client(grid.url, grid.token) as client:
        return next(iter(client.jobs())).id


def state(grid: Grid, job_id: int) -> str:
    with Client(grid.url, grid.token) as client:
        return client.wait(job_id, timeout_s=ENDS_S).state


async def _started(client: mcp.Client, scope: anyio.CancelScope) -> None:
    """Run a long program until it runs, then end `scope`."""

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        if message == "running":
            scope.cancel()

    await client.call_tool("run_code", LONG, progress_callback=progress)


def test_a_request_that_the_agent_cancels_cancels_its_job(grid: Grid) -> None:
    async def cancelled() -> None:
        async with mcp.Client(mcp.stdio_client(parameters(grid))) as client:
            with anyio.CancelScope() as scope:
                await _started(client, scope)
            assert scope.cancelled_caught
            answer = await client.call_tool("list_jobs", {})  # the session goes on
            assert answer.structured_content is not None
            job_id = answer.structured_content["jobs"][0]["job_id"]
            ended = await client.call_tool("get_job", {"job_id": job_id, "wait_s": ENDS_S})
            assert ended.structured_content is not None
            assert ended.structured_content["state"] == "cancelled"

    anyio.run(cancelled)


def test_an_agent_that_goes_away_leaves_nothing_running(grid: Grid) -> None:
    async def gone() -> None:
        with anyio.CancelScope() as scope:
            async with mcp.Client(mcp.stdio_client(parameters(grid))) as client:
                await _started(client, scope)

    anyio.run(gone)
    assert state(grid, newest(grid)) == "cancelled"


def test_a_grid_that_is_away_is_an_answer(grid: Grid) -> None:
    with talking(grid, WASMGRID_SERVER="127.0.0.1:1") as agent:
        failure = agent.failure("run_code", source=printing("x"), language="wat")
        assert failure["error"] == "unreachable"
        assert "127.0.0.1:1" in failure["message"]


def test_the_first_call_starts_a_grid_where_none_runs(tmp_path: Path) -> None:
    with running(tmp_path) as own:  # it is this test's to stop, and `running` holds that nothing is left of either
        own.text("down")
        with talking(own) as agent:
            assert agent.call("run_code", source=printing("hello"), language="wat")["stdout"] == "hello"
        own.text("down")


def test_a_bound_is_the_operators(grid: Grid) -> None:
    with talking(grid, "--most-time", "2s", "--most-memory-mb", "64") as agent:
        assert "at most 2 seconds" in agent.failure("run_code", source=SPINNING)["message"]
        assert "at most 64 MB" in agent.failure("run_code", source=SPINNING, time_limit_s=1)["message"]


def test_a_session_has_only_so_many_unfinished_jobs_at_once(grid: Grid) -> None:
    with talking(grid) as agent:
        spin = {"source": SPINNING, "language": "wat", "time_limit_s": 200, "memory_mb": 16, "wait_s": 0}
        started = [agent.call("run_code", **spin)["job_id"] for _ in range(16)]
        failure = agent.failure("run_code", **spin)
        assert failure["error"] == "unavailable"
        assert str(started[0]) in failure["hint"]
        assert agent.failure("cancel_job", job_id=started[0])["state"] == "cancelled"
        started.append(agent.call("run_code", **spin)["job_id"])
        for job_id in started[1:]:
            agent.failure("cancel_job", job_id=job_id)


def test_without_the_package_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert main(["mcp"]) == 125
    assert f"{sys.executable} -m pip install 'mcp>=2.3,<3'" in capsys.readouterr().err
