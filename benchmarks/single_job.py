"""One small cached module, submitted over HTTP with `wait`: from the request to the finished job in hand."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import wasmtime

from benchmarks.grid import ROOT, Grid, quantile, running, show, temporary_home

WARM_UP, JOBS = 50, 1000
CLIENTS, JOBS_EACH = 8, 250


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


def main() -> None:
    """Measure latency with one client, then the rate with several."""
    module = bytes(wasmtime.wat2wasm((ROOT / "examples" / "hello.wat").read_text()))
    digest = hashlib.sha256(module).hexdigest()
    with temporary_home() as home, running(home) as grid:
        grid.call(grid.connect(), "PUT", f"/v1/modules/{digest}", module)
        submit(grid, digest, WARM_UP)
        took = submit(grid, digest, JOBS)
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
            (f"rate with {CLIENTS} clients", f"{rate:.0f} jobs/s"),
        ],
    )


if __name__ == "__main__":
    main()
