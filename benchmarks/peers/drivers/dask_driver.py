"""Dask's distributed scheduler on this machine, a worker process per core, a task each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import distributed

from benchmarks.peers.drivers import guest
from benchmarks.peers.drivers.driver import PROCESSES, Work, serve


def main() -> None:
    """Start it, run what comes, stop it."""
    cluster = distributed.LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:

        def run(work: Work) -> Sequence[bytes]:
            futures = client.map(partial(guest.run, work.module), list(work.indexes), pure=False)
            return list(client.gather(futures))

        serve(f"Dask distributed {distributed.__version__}", run)


if __name__ == "__main__":
    main()
