"""`python -m wasmgrid.worker`: what `up` starts beside itself. People use `wasmgrid worker`, with the same flags."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import Home
from wasmgrid.worker.process import WorkerOptions, run


def main(argv: list[str]) -> int:
    """Parse, run; the exit code. 125 where the worker cannot start."""
    parser = argparse.ArgumentParser(prog="python -m wasmgrid.worker")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--id", dest="worker_id")
    parser.add_argument("--nats", dest="nats_url")
    parser.add_argument("--cpus", type=float)
    parser.add_argument("--memory-mb", type=int)
    parser.add_argument("--disk-mb", type=int)
    parser.add_argument("--gpus", type=int)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--unsandboxed-builds", action="store_true")
    parser.add_argument("--builds-only", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = vars(parser.parse_args(argv))
    home = options.pop("home")
    labels = dict(label.partition("=")[::2] for label in options.pop("label"))
    try:
        return run(WorkerOptions(home=Home(home) if home else Home.default(), labels=labels, **options))
    except WasmgridError as error:
        print(error, file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
