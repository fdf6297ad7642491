"""Celery with a Redis of its own (in memory, nothing durable) as broker and for results; a process per core."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks.peers.drivers.driver import PROCESSES, Work, serve

_READY_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    until = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> None:
    """Start both, run what comes, stop both."""
    port, folder = free_port(), tempfile.mkdtemp(prefix="wasmgrid-bench-redis-")
    os.environ["WASMGRID_BENCH_REDIS"] = f"redis://127.0.0.1:{port}/0"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    redis = [sys.argv[1], "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    started = [subprocess.Popen(redis, **quiet)]  # type: ignore[call-overload] # three descriptors by name
    try:
        wait_for(port)
        name = "benchmarks.peers.drivers.celery_app"
        worker = ["-A", name, "worker", "-c", str(PROCESSES), "-l", "error", "--without-gossip", "--without-mingle"]
        started.append(subprocess.Popen([sys.executable, "-m", "celery", *worker], **quiet))  # type: ignore[call-overload] # as above
        import celery  # noqa: PLC0415 - after the address of its Redis is known

        from benchmarks.peers.drivers import celery_app  # noqa: PLC0415 - as above

        def run(work: Work) -> Sequence[bytes]:
            group = celery.group(celery_app.run.s(work.module, index) for index in work.indexes)
            return [text.encode() for text in group.apply_async().get(timeout=300)]

        serve(f"Celery {celery.__version__} with Redis", run)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
