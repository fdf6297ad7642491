"""`python -m wasmgrid.worker`: what `up` starts beside itself. People use `wasmgrid worker`, with the same flags."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.units import parse_duration
from wasmgrid.home import Home
from wasmgrid.worker.gpus import simulated
from wasmgrid.worker.process import WorkerOptions, run

DRAIN_S = 2.0  # the server beside it has 4 s to stop in


def main(argv: list[str]) -> int:
    """Parse, run; the exit code. 125 where the worker cannot start."""
    parser = argparse.ArgumentParser(prog="python -m wasmgrid.worker")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--id", dest="worker_id")
    parser.add_argument("--join", "--nats")
    parser.add_argument("--credential")
    parser.add_argument("--cpus", type=float)
    parser.add_argument("--memory-mb", type=int)
    parser.add_argument("--disk-mb", type=int)
    parser.add_argument("--gpu", dest="gpus", action="append", default=[], metavar="MODEL[:MEMORY_MB]")
    parser.add_argument("--gpus", dest="gpu_count", type=int)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--until", dest="until_s", type=parse_duration)
    parser.add_argument("--drain-timeout", dest="drain_s", type=parse_duration, default=DRAIN_S)
    parser.add_argument("--unsandboxed-builds", action="store_true")
    parser.add_argument("--builds-only", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--log-format", choices=["text", "json"], default="text")
    options = vars(parser.parse_args(argv))
    home = options.pop("home")
    labels = dict(label.partition("=")[::2] for label in options.pop("label"))
    try:
        gpus = simulated(options.pop("gpus"))
        return run(WorkerOptions(home=Home(home) if home else Home.default(), labels=labels, gpus=gpus, **options))
    except WasmgridError as error:
        print(error, file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
