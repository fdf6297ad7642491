"""Processes die at any moment; accepted jobs do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.grid import Grid
from tests.e2e.guests import sleeper

from wasmgrid.home import Home

DEADLINE_S = 60.0


def wait(condition: Callable[[], object], what: str) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends_at, what
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Grid]:
    grid = Grid(home=tmp_path / "home", directory=tmp_path)
    try:
        yield grid
    finally:
        grid.end()


@contextmanager
def process(grid: Grid, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `wasmgrid server` or `wasmgrid worker` of this home, ended whatever happens."""
    with (grid.directory / "processes.log").open("ab") as log:
        one = grid.start(*words, stdout=log, stderr=log)
    try:
        yield one
    finally:
        one.terminate()
        try:
            one.wait(20)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()


def submit(grid: Grid, program: str, *flags: str) -> int:
    path = grid.file(f"p{abs(hash((program, flags)))}.wat", program)
    return int(grid.text("submit", path, *flags))


def test_hostile_63_kill_of_up_loses_no_accepted_job_and_leaves_no_process(home: Grid) -> None:
    home.up()
    running = submit(home, sleeper(2.0, "one"))
    home.wait_state(running, "running")
    waiting = [submit(home, sleeper(0.01, f"w{number}"), "--cpus", "2") for number in range(5)]
    os.kill(home.pid, signal.SIGKILL)
    assert home.gone(), home.left()
    home.up()
    for job_id in (running, *waiting):
        job = home.wait_state(job_id, "succeeded")
        assert job.result is not None
        assert job.result.stdout.count("\n") == 2


def test_a_killed_server_reruns_nothing_that_a_worker_holds(home: Grid) -> None:
    home.home.mkdir(mode=0o700)
    with process(home, "worker", "--id", "only"):
        with process(home, "server", "--port", "0") as first:
            wait(lambda: _endpoint(home), "the server did not come up")
            held = submit(home, sleeper(6.0, "held"))
            home.wait_state(held, "running")
            first.kill()
            first.wait()
        with process(home, "server", "--port", "0"):
            wait(lambda: _endpoint(home), "the server did not come up again")
            job = home.wait_state(held, "succeeded")
            assert _ends(home, held) == ["exited"]
            assert job.result is not None
            assert job.result.stdout == "held\nheld\n"


def test_hostile_60_a_killed_worker_gives_its_task_to_the_next_attempt(home: Grid) -> None:
    home.up()
    job_id = submit(home, sleeper(2.0, "again"))
    home.wait_state(job_id, "running")
    [worker] = [one for one in home.processes() if "wasmgrid.worker" in one.cmdline()]
    runners = [one for one in worker.children() if "wasmgrid.runner" in one.cmdline()]
    worker.kill()
    _, alive = psutil.wait_procs(runners, timeout=DEADLINE_S)
    assert not alive, "runners outlived their agent"
    home.wait_state(job_id, "succeeded")
    assert _ends(home, job_id) == ["the worker died while it ran", "exited"]


def test_hostile_65_a_killed_fabric_comes_back(home: Grid) -> None:
    home.up()
    job_id = submit(home, sleeper(3.0, "through"))
    home.wait_state(job_id, "running")
    [nats] = [one for one in home.processes() if one.name() == "nats-server"]
    nats.kill()
    assert home.wait_state(job_id, "succeeded").result is not None
    assert _ends(home, job_id) == ["exited"]


def test_hostile_71_a_job_that_kills_its_runner_is_lost_after_three_and_the_worker_goes_on(home: Grid) -> None:
    home.up()
    job_id = submit(home, sleeper(30.0, "victim"))
    for died in range(3):
        wait(lambda died=died: len(_attempts(home, job_id)) == died, "an attempt ended twice")  # type: ignore[misc]
        home.wait_state(job_id, "running", "failed")
        for one in home.processes():
            if "wasmgrid.runner" in one.cmdline():
                one.kill()
        wait(lambda died=died: len(_attempts(home, job_id)) > died, "the job did not move on")  # type: ignore[misc]
    job = home.wait_state(job_id, "failed")
    assert job.result is not None
    assert job.result.outcome == "lost"
    home.wait_state(submit(home, sleeper(0.01, "fine")), "succeeded")


def _attempts(grid: Grid, job_id: int) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{grid.url}/v1/jobs/{job_id}/attempts", headers={"Authorization": f"Bearer {grid.token}"}
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        found: list[dict[str, Any]] = json.load(answer)["attempts"]
    return found


def _ends(grid: Grid, job_id: int) -> list[str]:
    return [one["reason"] or one["outcome"] for one in _attempts(grid, job_id)]


def _endpoint(grid: Grid) -> bool:
    endpoint = Home(grid.home).endpoint()
    if endpoint is None:
        return False
    grid.pid, grid.url = endpoint.pid, endpoint.url
    grid.token = (grid.home / "token").read_text().strip()
    return True
