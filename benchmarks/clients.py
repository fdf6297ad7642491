"""64 clients that submit single jobs and wait for each result, by a load generator in C (wrk) that costs little."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import cputime, figures, modules
from benchmarks.client import TASK, Api
from benchmarks.environments import MissingError, tool
from benchmarks.grid import Grid, running, show, temporary_home
from benchmarks.sizes import ROUNDS, SCALE

CLIENTS, THREADS = 64, 1
SECONDS, WARM_UP_S = max(2, round(6 * SCALE)), max(2, round(3 * SCALE))
PROMISED_PER_S = 1200
JOB = {**TASK, "cpus": 0.25}  # as many at a time as a worker has slots


def load(wrk: str, grid: Grid, digest: str, seconds: int) -> dict[str, Any]:
    """So many seconds of load: jobs a second, latency, CPU by process."""
    body = json.dumps({"module_sha256": digest, **JOB})
    script = str(Path(__file__).with_suffix(".lua"))
    url = f"http://{grid.host}:{grid.port}/v1/jobs?wait=30"
    argv = [wrk, "-t", str(THREADS), "-c", str(CLIENTS), "-d", f"{seconds}s", "--timeout", "30s", "-s", script, url]
    before = cputime.by_process(grid.process.pid)
    ended = subprocess.run(
        [*argv, "--", grid.token, body], capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    found = [line for line in ended.stdout.splitlines() if line.startswith("figures: ")]
    if ended.returncode or not found:
        raise MissingError(f"wrk ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    figure: dict[str, Any] = json.loads(found[0].removeprefix("figures: "))
    if figure["others"] or figure["errors"] or not figure["succeeded"]:
        raise RuntimeError(f"not every job succeeded: {figure}")
    parts = cputime.each_us(grid.process.pid, before, figure["succeeded"])
    return {**figure, "per_s": figure["succeeded"] / figure["seconds"], "parts_us": parts}


def main() -> None:
    """Measure, keep and show."""
    try:
        wrk = tool("wrk", "wrk")
    except MissingError as reason:
        show(f"{CLIENTS} clients", [("not measured", str(reason))])
        return
    with temporary_home() as home, running(home) as grid:
        api = Api(grid)
        digest = api.module(modules.module("small.rs"))
        for _ in range(CLIENTS):  # until the first runner is there, and knows the module
            api.submit({"module_sha256": digest, **JOB}, wait_s=30)
        load(wrk, grid, digest, WARM_UP_S)
        rounds = [load(wrk, grid, digest, SECONDS) for _ in range(ROUNDS)]
    per_s = figures.spread([each["per_s"] for each in rounds])
    rows = [
        ("jobs/s", f"{per_s['median']:.0f} ({per_s['least']:.0f} to {per_s['most']:.0f})"),
        ("promised", f"{PROMISED_PER_S}"),
        *(
            (f"{part} of each", f"{figures.spread([each[part] for each in rounds])['median']:.1f}")
            for part in ("p50_ms", "p99_ms")
        ),
        *((f"us of CPU a job, {name}", f"{us:.0f}") for name, us in rounds[-1]["parts_us"].items()),
    ]
    show(f"{CLIENTS} clients, {SECONDS} s each time", rows)
    print(figures.save("clients", {"clients": CLIENTS, "per_s": per_s, "rounds": rounds}))


if __name__ == "__main__":
    main()
