"""The task of Celery's worker, found by name."""

from __future__ import annotations

import os

import celery

from benchmarks.peers.drivers import guest

_REDIS = os.environ["WASMGRID_BENCH_REDIS"]

app = celery.Celery("benchmark", broker=_REDIS, backend=_REDIS)
app.conf.update(worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True, result_expires=600)


@app.task(name="guest.run")  # type: ignore[untyped-decorator] # Celery has no types
def run(path: str, index: int) -> str:
    """One task; its output as text, because results travel as JSON."""
    return guest.run(path, index).decode()
