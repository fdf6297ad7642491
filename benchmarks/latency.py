"""Single jobs, one after the other, submit with wait to result: a module that is known, and a source that was built.

Both kinds alternate, with the disk's fsync beside them, because every accepted job is on the disk when it is answered.
"""

from __future__ import annotations

import json
import time

from benchmarks import cputime, figures, modules
from benchmarks.client import TASK, Api
from benchmarks.grid import quantile, running, show, temporary_home
from benchmarks.single_job import fsyncs
from benchmarks.sizes import ROUNDS, scaled

JOBS, BUILT, WARM_UP = 400, 100, 50
PROMISED = {"cached": "4 / 12 ms", "built": "10 ms"}


def timed(api: Api, spec: dict[str, object], jobs: int) -> list[float]:
    """Milliseconds of each of so many jobs."""
    body, took = json.dumps(spec).encode(), []
    for _ in range(jobs):
        began = time.perf_counter()
        job = api.call("POST", "/v1/jobs?wait=30", body)
        took.append((time.perf_counter() - began) * 1000)
        if job["state"] != "succeeded" or not job["result"]["stdout"].startswith("hello"):
            raise RuntimeError(f"job {job['id']}: {job['state']}, {job['state_reason']}")
    return took


def main() -> None:
    """Measure, keep and show."""
    path = modules.module("small.rs")
    source = {"source": {"files": {"small.rs": (modules.GUESTS / "small.rs").read_text()}}, **TASK}
    cached: list[float] = []
    built: list[float] = []
    disk: list[float] = []
    cpu_us: list[float] = []
    with temporary_home() as home, running(home) as grid:
        api = Api(grid)
        known = {"module_sha256": api.module(path), **TASK}
        timed(api, source, WARM_UP)
        timed(api, known, WARM_UP)
        for _ in range(ROUNDS):
            jobs, before = scaled(JOBS), cputime.cpu_s(grid.process.pid)
            cached += timed(api, known, jobs)
            cpu_us.append((cputime.cpu_s(grid.process.pid) - before) / jobs * 1e6)
            built += timed(api, source, scaled(BUILT))
            disk += fsyncs(home)
    measured = {
        name: {"p50": quantile(took, 0.5), "p90": quantile(took, 0.9), "p99": quantile(took, 0.99)}
        for name, took in (("cached", cached), ("built", built), ("fsync", disk))
    }
    rows = [
        (name, f"p50 {each['p50']:.2f} ms, p90 {each['p90']:.2f} ms, p99 {each['p99']:.2f} ms")
        for name, each in measured.items()
    ]
    rows += [(f"promised, {name}", words) for name, words in PROMISED.items()]
    show("single jobs", [*rows, ("CPU of a cached one", f"{figures.spread(cpu_us)['median']:.0f} us")])
    print(figures.save("latency", {**measured, "cpu_us": figures.spread(cpu_us)}))


if __name__ == "__main__":
    main()
