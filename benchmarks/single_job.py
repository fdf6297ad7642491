"""One small cached module, submitted over HTTP with `wait`: from the request to the finished job in hand.

With the CPU time of each process, which says more than the clock where other things run on the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import wasmtime

from benchmarks import cputime
from benchmarks.grid import ROOT, Grid, quantile, running, show, temporary_home

WARM_UP, JOBS = 50, 1000
CLIENTS, JOBS_EACH = 8, 250
FSYNCS = 200


def submit(grid: Grid, digest: str, jobs: int) -> list[float]:
    """Submit `jobs` jobs, one after the other over one connection; milliseconds of each."""
    body = json.dumps({"module_sha256": digest, "memory_mb": 16, "cpus": 0.25, "disk_mb": 16}).encode()
    connection, took = grid.connect(), []
    for _ in range(jobs):
        began = time.perf_counter()
        job = grid.call(connection, "POST", "/v1/jobs?wait=30", body)
        took.append((time.perf_counter() - began) * 1000)
        assert job["state"] == "succeeded", job
        assert job["result"]["stdout"] == "hello from WAT!\n", job
    connection.close()
    return took


def fsyncs(folder: Path) -> list[float]:
    """Milliseconds of one page's fsync each: a job waits for two commits, and each for one of these at least."""
    took = []
    with (folder / "page").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return took


def main() -> None:
    """Measure latency with one client, then the rate with several."""
    module = bytes(wasmtime.wat2wasm((ROOT / "examples" / "hello.wat").read_text()))
    digest = hashlib.sha256(module).hexdigest()
    with temporary_home() as home, running(home) as grid:
        grid.call(grid.connect(), "PUT", f"/v1/modules/{digest}", module)
        submit(grid, digest, WARM_UP)
        before = cputime.by_process(grid.process.pid)
        took = submit(grid, digest, JOBS)
        used = cputime.each_us(grid.process.pid, before, JOBS)
        disk = fsyncs(home)
        clients = [threading.Thread(target=submit, args=(grid, digest, JOBS_EACH)) for _ in range(CLIENTS)]
        began = time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        rate = CLIENTS * JOBS_EACH / (time.perf_counter() - began)
    show(
        f"single job, {JOBS} after {WARM_UP} to warm up",
        [
            ("p50", f"{quantile(took, 0.5):.2f} ms"),
            ("p90", f"{quantile(took, 0.9):.2f} ms"),
            ("p99", f"{quantile(took, 0.99):.2f} ms"),
            ("the disk's fsync, p50", f"{quantile(disk, 0.5):.2f} ms"),
            (f"rate with {CLIENTS} clients", f"{rate:.0f} jobs/s"),
            *((f"CPU per job, {name}", f"{us:.0f} us") for name, us in used.items()),
        ],
    )


if __name__ == "__main__":
    main()
