"""Processes die at any moment; accepted jobs do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.e2e.grid import Grid
from tests.e2e.guests import sleeper

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
            with home.client() as client:
                attempts = client.attempts(held)
            assert [one.outcome for one in attempts] == ["exited"]
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
    with home.client() as client:
        ends = [one.reason or one.outcome for one in client.attempts(job_id)]
    assert ends == ["the worker died while it ran", "exited"]


def test_hostile_65_a_killed_fabric_comes_back(home: Grid) -> None:
    home.up()
    job_id = submit(home, sleeper(3.0, "through"))
    home.wait_state(job_id, "running")
    [nats] = [one for one in home.processes() if one.name() == "nats-server"]
    nats.kill()
    assert home.wait_state(job_id, "succeeded").result is not None
    with home.client() as client:
        assert [one.outcome for one in client.attempts(job_id)] == ["exited"]


def test_hostile_71_a_job_that_kills_its_runner_is_lost_after_three_and_the_worker_goes_on(home: Grid) -> None:
    home.up()
    job_id = submit(home, sleeper(30.0, "victim"))
    for _ in range(3):
        home.wait_state(job_id, "running")
        killed = _kill_busy_runner(home)
        wait(lambda killed=killed: not psutil.pid_exists(killed), "a runner survived kill -9")  # type: ignore[misc]
        wait(lambda: _moved_on(home, job_id, killed), "the job did not move on")
    job = home.wait_state(job_id, "failed")
    assert job.result is not None
    assert job.result.outcome == "lost"
    home.wait_state(submit(home, sleeper(0.01, "fine")), "succeeded")


def _moved_on(grid: Grid, job_id: int, killed: int) -> bool:
    with grid.client() as client:
        job = client.job(job_id)
    return job.finished or (job.state == "running" and _busy_runner(grid) not in {None, killed})


def _kill_busy_runner(grid: Grid) -> int:
    pid: list[int] = []
    wait(lambda: pid or pid.extend(filter(None, [_busy_runner(grid)])), "no runner is busy")
    os.kill(pid[0], signal.SIGKILL)
    return pid[0]


def _busy_runner(grid: Grid) -> int | None:
    """The runner that has been given a tenant's work: the one whose box holds an attempt's output."""
    for box in sorted((grid.home / "worker").glob("*/runners/r*")):
        for one in grid.processes():
            with_box = "wasmgrid.runner" in one.cmdline() and any(str(box) in str(path) for path in _open(one))
            if with_box and list(box.rglob("stdout*")):
                return one.pid
    return None


def _open(one: psutil.Process) -> list[str]:
    try:
        return [file.path for file in one.open_files()]
    except psutil.NoSuchProcess:
        return []


def _endpoint(grid: Grid) -> bool:
    from wasmgrid.home import Home

    endpoint = Home(grid.home).endpoint()
    if endpoint is None:
        return False
    grid.pid, grid.url = endpoint.pid, endpoint.url
    grid.token = (grid.home / "token").read_text().strip()
    return True


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
