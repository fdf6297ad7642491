"""Ray, one node, a task each."""

from __future__ import annotations

import os
from collections.abc import Sequence

import ray

from benchmarks.peers.drivers import guest
from benchmarks.peers.drivers.driver import PROCESSES, Work, serve


def main() -> None:
    """Start it, run what comes, stop it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False, configure_logging=False)
    task = ray.remote(guest.run)

    def run(work: Work) -> Sequence[bytes]:
        return list(ray.get([task.remote(work.module, index) for index in work.indexes]))

    try:
        serve(f"Ray {ray.__version__}", run)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
