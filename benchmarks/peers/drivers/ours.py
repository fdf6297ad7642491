"""wasmgrid: one array job over HTTP to a real `wasmgrid up`, each task with a durable result of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import client
from benchmarks.grid import running, temporary_home
from benchmarks.peers.drivers.driver import EXPECTED, Work, serve
from wasmgrid import __version__

_SAMPLES = 20  # outputs that are read back and compared, spread over the tasks; the others must have succeeded


def main(cpus: float) -> None:
    """Start it, run what comes, stop it; each task asks for so many cpus."""
    with temporary_home() as home, running(home) as grid:
        api = client.Api(grid)

        def run(work: Work) -> int:
            job = api.array(api.module(Path(work.module)), f"{work.first}-{work.first + work.count - 1}", cpus=cpus)
            done = api.finish(job["id"])
            kind = Path(work.module).name.partition("-")[0]
            for index in work.indexes[:: max(1, work.count // _SAMPLES)]:
                printed = api.output(done["id"], index)
                if not printed.startswith(EXPECTED[kind] % index):
                    raise RuntimeError(f"task {index} of job {done['id']} printed {printed[:100]!r}")
            return int(done["task_counts"].get("succeeded", 0))

        serve(f"wasmgrid {__version__}, {cpus:g} cpus a task", run)


if __name__ == "__main__":
    main(float(sys.argv[1]))
