"""A function mapped over 1,000,000 inputs: one job, one line an input, warm instances, every value read back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import cputime, figures
from benchmarks.client import TASK, Api
from benchmarks.grid import Grid, running, show, temporary_home
from benchmarks.modules import GUESTS
from benchmarks.sizes import scaled

CALLS, WARM_UP, ROUNDS = 1_000_000, 2000, 3
PROMISED_PER_S = 50_000


def values(grid: Grid, job_id: int) -> Iterator[tuple[int, Any]]:
    """Index and value of every call, as they come."""
    connection = grid.connect()
    headers = {"Authorization": f"Bearer {grid.token}"}
    connection.request("GET", f"/v1/jobs/{job_id}/results?values=true", headers=headers)
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"results of job {job_id}: {response.status} {response.read()[:300]!r}")
    for line in response:
        if line.strip():
            result = json.loads(line)
            yield result["index"], result["return_value"]
    connection.close()


def map_over(grid: Grid, api: Api, count: int) -> dict[str, Any]:
    """Square `count` numbers: seconds and CPU of the run, seconds of sending the inputs and of reading the values."""
    before, began = cputime.by_process(grid.process.pid), time.perf_counter()
    lines = api.put("inputs", b"".join(b"[%d]\n" % number for number in range(count)))
    sent = time.perf_counter()
    source = {"files": {"square.rs": (GUESTS / "square.rs").read_text()}}
    job = api.submit({"source": source, "function": "square", "lines": {"sha256": lines, "use": "call"}, **TASK})
    api.finish(job["id"])
    ended = time.perf_counter()
    parts = cputime.each_us(grid.process.pid, before, count)
    seen = sum(1 for index, value in values(grid, job["id"]) if value == index * index)
    if seen != count:
        raise RuntimeError(f"{seen} of {count} values are right")
    return {
        "sent_s": sent - began,
        "ran_s": ended - sent,
        "read_s": time.perf_counter() - ended,
        "per_s": count / (ended - sent),
        "parts_us": parts,
    }


def main() -> None:
    """Measure, keep and show."""
    count = scaled(CALLS)
    with temporary_home() as home, running(home) as grid:
        api = Api(grid)
        map_over(grid, api, scaled(WARM_UP))
        rounds = [map_over(grid, api, count) for _ in range(ROUNDS)]
    per_s = figures.spread([each["per_s"] for each in rounds])
    rows = [
        ("calls/s, submit to finished", f"{per_s['median']:.0f} ({per_s['least']:.0f} to {per_s['most']:.0f})"),
        ("promised", f"{PROMISED_PER_S}"),
        ("inputs sent in", f"{figures.spread([each['sent_s'] for each in rounds])['median']:.2f} s"),
        ("values read in", f"{figures.spread([each['read_s'] for each in rounds])['median']:.2f} s"),
        *((f"us of CPU a call, {name}", f"{us:.2f}") for name, us in rounds[-1]["parts_us"].items()),
    ]
    show(f"a function over {count} inputs", rows)
    print(figures.save("calls", {"count": count, "per_s": per_s, "rounds": rounds}))


if __name__ == "__main__":
    main()
