"""Workers in a real grid, with a lease of two seconds: GPUs, deaths, cuts, wrong clocks, drains, lives that end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.grid import Grid
from tests.e2e.guests import sleeper
from tests.worker.history import never_shared

from wasmgrid.home import Home
from wasmgrid.worker import starts
from wasmgrid.worker.departure import EXIT_MISMATCH

pytestmark = pytest.mark.timeout(240)

DEADLINE_S = 60.0
LEASE_S = 2.0
WRONG_CLOCK = """
import sys, time
right = time.time
time.time = lambda: right() + 3600.0
from wasmgrid.worker.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
OLDER = """
import sys
from wasmgrid.core import wire
wire.PROTOCOL_VERSION, wire._VERSION_BYTE = 1, bytes([1])
from wasmgrid.worker.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A server without a worker; each test brings its own."""
    directory = tmp_path_factory.mktemp("grid")
    made = Grid(home=directory / "home", directory=directory)
    made.home.mkdir(mode=0o700)
    with (directory / "server.log").open("ab") as log:
        server = made.start("server", "--port", "0", "--lease", f"{LEASE_S:g}s", stdout=log, stderr=log)
    try:
        wait(lambda: (endpoint := Home(made.home).endpoint()) is not None and endpoint.pid == server.pid, "no server")
        endpoint = Home(made.home).endpoint()
        assert endpoint is not None
        made.pid, made.url, made.token = endpoint.pid, endpoint.url, Home(made.home).token()
        yield made
    finally:
        server.terminate()
        server.wait(DEADLINE_S)
        made.end()


@pytest.fixture
def worker(grid: Grid) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers: id and flags. They leave after the test."""
    started: dict[str, subprocess.Popen[bytes]] = {}

    def start(worker_id: str, *flags: str, program: str = "", joins: bool = True) -> subprocess.Popen[bytes]:
        with (grid.directory / "workers.log").open("ab") as log:
            words = ["--home", str(grid.home), "--id", worker_id, "--memory-mb", "4000", *flags]
            command = ["-c", program] if program else ["-m", "wasmgrid.worker"]
            process = subprocess.Popen([sys.executable, *command, *words], env=grid.environment, stderr=log)
        started[worker_id] = process
        if joins:
            wait(lambda: worker_id in workers(grid), f"{worker_id} did not join")
        return process

    yield start
    for process in started.values():
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(DEADLINE_S)
    wait(lambda: not workers(grid), "workers that ended are still there")


def wait(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, under a deadline."""
    ends_at = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends_at, what
        time.sleep(0.02)


def ask(grid: Grid, path: str) -> Any:
    """What the API answers."""
    request = urllib.request.Request(grid.url + path, headers={"Authorization": f"Bearer {grid.token}"})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.load(answer)


def workers(grid: Grid) -> dict[str, dict[str, Any]]:
    """Who is there, by id."""
    return {one["id"]: one for one in ask(grid, "/v1/workers")["workers"]}


def submit(grid: Grid, program: str, *flags: str) -> int:
    """A job of this program."""
    path = grid.file(f"p{abs(hash(program))}.wat", program)
    return int(grid.text("submit", path, "--memory-mb", "16", "--disk-mb", "16", "--cpus", "0.1", *flags))


def attempts(grid: Grid, job_id: int) -> list[dict[str, Any]]:
    """The attempts of a job that ended."""
    found: list[dict[str, Any]] = ask(grid, f"/v1/jobs/{job_id}/attempts")["attempts"]
    return found


def history(grid: Grid, worker_id: str) -> list[starts.Entry]:
    """What a worker wrote down."""
    return list(starts.read(Home(grid.home).worker(worker_id)))


def begun(grid: Grid, *worker_ids: str) -> list[starts.Began]:
    """Every start at these workers."""
    entries = [entry for one in worker_ids for entry in history(grid, one)]
    return [entry for entry in entries if isinstance(entry, starts.Began) and entry.kind == "run"]


def runs_at(grid: Grid, job_id: int) -> str:
    """The worker where the job's guest is seen running."""
    found: list[str] = []

    def is_seen() -> bool:
        found[:] = [name for name, one in workers(grid).items() if any(f"{job_id}" in text for text in one["running"])]
        return bool(found)

    grid.wait_state(job_id, "running")
    wait(is_seen, f"job {job_id} runs nowhere")
    return found[0]


def test_two_tasks_never_share_a_gpu(grid: Grid, worker: Callable[..., Any]) -> None:
    worker("gpus", "--cpus", "8", "--gpu", "NVIDIA H100 80GB HBM3:81559", "--gpu", "NVIDIA H100 80GB HBM3:81559")
    wants = ["1", "1", "2", "1", "2", "1", "1", "1"]
    jobs = [submit(grid, sleeper(0.2), "--gpus", count, "--gpu-model", "h100") for count in wants]
    never = submit(grid, sleeper(0.2), "--gpus", "1", "--gpu-model", "A100")
    for job_id in jobs:
        assert grid.wait_state(job_id, "succeeded", "failed").state == "succeeded"
    had = {entry.id: entry.gpus for entry in begun(grid, "gpus")}
    assert [len(had[job_id]) for job_id in jobs] == [int(count) for count in wants]
    assert set().union(*had.values()) == {0, 1}
    assert never_shared(history(grid, "gpus"))
    assert "A100" in grid.text("why", str(never))
    grid.text("cancel", str(never))


def test_hostile_60_a_killed_worker_loses_its_task_to_another_within_its_lease(
    grid: Grid, worker: Callable[..., Any]
) -> None:
    for name in ("k1", "k2"):
        worker(name)
    job_id = submit(grid, sleeper(1.5))
    victim = runs_at(grid, job_id)
    pid = begun_pid(grid, victim)
    os.kill(pid, signal.SIGKILL)
    killed_at = time.time()
    grid.wait_state(job_id, "succeeded")
    [first, second] = sorted((one for one in begun(grid, "k1", "k2") if one.id == job_id), key=lambda one: one.at)
    assert second.attempt > first.attempt
    assert second.at - killed_at < LEASE_S + 15.0  # 2 s on a machine that does nothing else


def test_hostile_61_a_worker_that_was_stopped_brings_a_stale_result_that_is_refused(
    grid: Grid, worker: Callable[..., Any]
) -> None:
    processes = {"s1": worker("s1"), "s2": worker("s2")}
    job_id = submit(grid, sleeper(1.0))
    frozen = runs_at(grid, job_id)
    processes[frozen].send_signal(signal.SIGSTOP)
    job = grid.wait_state(job_id, "succeeded")
    ended = attempts(grid, job_id)
    processes[frozen].send_signal(signal.SIGCONT)
    wait(lambda: workers(grid).get(frozen, {}).get("state") == "joined", "it did not come back")
    wait(lambda: not workers(grid)[frozen]["running"], "it still holds what is over")
    assert attempts(grid, job_id) == ended
    assert grid.wait_state(job_id, "succeeded") == job
    assert [one["worker_id"] for one in ended] != [frozen]


def test_hostile_69_a_fabric_that_freezes_for_a_lease_costs_a_run_and_no_result(
    grid: Grid, worker: Callable[..., Any]
) -> None:
    worker("cut")
    job_id = submit(grid, sleeper(600.0))
    runs_at(grid, job_id)
    [nats] = [one for one in grid.processes() if one.name() == "nats-server"]
    nats.suspend()
    try:
        wait(lambda: any(isinstance(one, starts.Ended) for one in history(grid, "cut")), "its guest outlived its lease")
        wait(lambda: attempts(grid, job_id), "its leader waits for it for ever")
    finally:
        nats.resume()
    wait(lambda: len(begun(grid, "cut")) == 2, "the job did not begin again")
    grid.text("cancel", str(job_id))
    job = grid.wait_state(job_id, "cancelled")
    assert job.result is not None
    assert job.result.outcome == "cancelled"
    assert attempts(grid, job_id)[0]["outcome"] is None


def test_hostile_82_a_worker_of_another_protocol_version_says_what_to_do_and_ends(
    grid: Grid, worker: Callable[..., Any]
) -> None:
    process = worker("older", program=OLDER, joins=False)
    assert process.wait(DEADLINE_S) == EXIT_MISMATCH
    said = (grid.directory / "workers.log").read_text()
    assert "speaks protocol version" in said
    assert "install the wasmgrid version of its servers" in said
    assert "Traceback" not in said
    assert not workers(grid)


def test_hostile_70_a_clock_one_hour_off_costs_no_lease(grid: Grid, worker: Callable[..., Any]) -> None:
    worker("clock", program=WRONG_CLOCK)
    job_id = submit(grid, sleeper(LEASE_S + 0.5))
    grid.wait_state(job_id, "succeeded")
    assert [one["outcome"] for one in attempts(grid, job_id)] == ["exited"]


def test_drained_by_its_grid_it_finishes_and_ends(grid: Grid, worker: Callable[..., Any]) -> None:
    process = worker("drained", "--drain-timeout", "0s")
    running = submit(grid, sleeper(1.0))
    assert runs_at(grid, running) == "drained"
    grid.text("drain", "drained")
    waiting = submit(grid, sleeper(0.01))
    grid.wait_state(running, "succeeded")
    assert process.wait(DEADLINE_S) == 0
    assert [one["outcome"] for one in attempts(grid, running)] == ["exited"]
    worker("next")
    grid.wait_state(waiting, "succeeded")
    assert [one["worker_id"] for one in attempts(grid, waiting)] == ["next"]


def test_a_worker_whose_life_ends_gets_what_fits_into_it(grid: Grid, worker: Callable[..., Any]) -> None:
    worker("short", "--until", "2m")
    remaining_s = workers(grid)["short"]["remaining_s"]
    assert 0 < remaining_s < 120
    long, short = submit(grid, sleeper(0.01), "--time-limit", "10m"), submit(grid, sleeper(0.01), "--time-limit", "5s")
    grid.wait_state(short, "succeeded")
    assert "short" in grid.text("why", str(long))
    worker("endless")
    grid.wait_state(long, "succeeded")
    assert [one["worker_id"] for one in attempts(grid, long)] == ["endless"]


def begun_pid(grid: Grid, worker_id: str) -> int:
    """The process of a worker, by its own history."""
    return [one for one in history(grid, worker_id) if isinstance(one, starts.Life)][-1].pid
