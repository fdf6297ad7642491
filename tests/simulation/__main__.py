"""`python -m tests.simulation SEED [SEED ...]`: replay seeds, with a trace where there is only one."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.run import replay


def main() -> int:
    """0 where every seed holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--quiet", action="store_true", help="no trace")
    arguments = parser.parse_args()
    traced = len(arguments.seeds) == 1 and not arguments.quiet
    failures = [seed for seed in arguments.seeds if not replay(seed, sys.stdout if traced else None)]
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
