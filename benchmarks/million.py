"""A 1,000,000-task array: CPU per task beside a 50,000 one, the server's memory, and kill -9 of the server half-way."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import cputime, figures, modules
from benchmarks.client import TIMEOUT_S, Api
from benchmarks.grid import Grid, running, show, temporary_home
from benchmarks.sizes import scaled

TASKS, SMALLER, WARM_UP = 1_000_000, 50_000, 5000
PROMISED_RATIO, PROMISED_MB = 1.15, 400
_POLL_S = 0.5


class Watched:
    """A job that is followed from outside: how many tasks have ended, and the most memory that the server held."""

    def __init__(self, job_id: int) -> None:
        self._job_id = job_id
        self.server_mb = 0.0
        self.ended = 0

    def until(self, grid: Grid, tasks: int) -> dict[str, Any]:
        """Wait until so many tasks have ended, or the job has; the job."""
        api, server = Api(grid), psutil.Process(grid.process.pid)
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            job: dict[str, Any] = api.call("GET", f"/v1/jobs/{self._job_id}")
            counts = job["task_counts"]
            self.ended = sum(counts.get(name, 0) for name in ("succeeded", "failed", "cancelled"))
            self.server_mb = max(self.server_mb, server.memory_info().rss / cputime.MB)
            if self.ended >= tasks or job["finished"]:
                return job
            time.sleep(_POLL_S)
        raise RuntimeError(f"job {self._job_id} stands at {self.ended} tasks")


def first_half(home: Path, module: Path, count: int) -> tuple[Watched, dict[str, Any]]:
    """The smaller array, then the large one until its half, then the server is killed; what was measured."""
    with contextlib.ExitStack() as stack:
        grid = stack.enter_context(running(home))
        api = Api(grid)
        digest = api.module(module)
        api.finish(api.array(digest, f"0-{scaled(WARM_UP) - 1}")["id"])
        smaller, before = scaled(SMALLER), cputime.by_process(grid.process.pid)
        api.finish(api.array(digest, f"0-{smaller - 1}")["id"])
        smaller_us = cputime.each_us(grid.process.pid, before, smaller)
        before, began = cputime.by_process(grid.process.pid), time.perf_counter()
        watched = Watched(api.array(digest, f"0-{count - 1}")["id"])
        watched.until(grid, count // 2)
        half: dict[str, Any] = {
            "smaller_us": smaller_us,
            "first_us": cputime.each_us(grid.process.pid, before, watched.ended),
        }
        half["first_s"] = time.perf_counter() - began
        half["killed_at"] = watched.ended
        os.kill(grid.process.pid, signal.SIGKILL)
        grid.process.wait()
    return watched, half


def second_half(home: Path, watched: Watched, count: int) -> dict[str, Any]:
    """The rest, under a new server in the same home: seconds, and whether each task has exactly one result."""
    began = time.perf_counter()
    with running(home) as grid:
        job = watched.until(grid, count)
        before = time.perf_counter()
        job = Api(grid).finish(job["id"])
        counts = job["task_counts"]
        if counts.get("succeeded") != count:
            raise RuntimeError(f"of {count} tasks: {counts}")
        return {"second_s": before - began, "ready_s": grid.ready_s, "counts": counts}


def main() -> None:
    """Measure, keep and show."""
    count, module = scaled(TASKS), modules.module("small.rs")
    with temporary_home() as home:
        watched, half = first_half(home, module, count)
        rest = second_half(home, watched, count)
    ratio = figures.ratio(half["first_us"]["all"], half["smaller_us"]["all"])
    measured = {"count": count, **half, **rest, "ratio": ratio, "server_mb": watched.server_mb}
    rows = [
        (f"CPU a task, {scaled(SMALLER)} tasks", f"{half['smaller_us']['all']:.0f} us"),
        (f"CPU a task, {count} tasks until its half", f"{half['first_us']['all']:.0f} us"),
        (f"ratio (at most {PROMISED_RATIO})", f"{ratio:.3f}"),
        (f"the server, resident, at most (promised {PROMISED_MB})", f"{watched.server_mb:.0f} MB"),
        ("killed at", f"{half['killed_at']} tasks, after {half['first_s']:.1f} s"),
        ("finished by the next server in", f"{rest['second_s']:.1f} s, every task succeeded once"),
        *((f"us of CPU a task, {name}", f"{us:.1f}") for name, us in half["first_us"].items()),
    ]
    show("a million tasks", rows)
    print(figures.save("million", measured))


if __name__ == "__main__":
    main()
