"""`python -m tests.simulation SEED`: replay a seed with its trace. Several seeds, or `--count N`: what came of each."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.run import replay


def main() -> int:
    """0 where every seed holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--count", type=int, default=1, help="so many seeds from each on (default: 1)")
    parser.add_argument("--quiet", action="store_true", help="no trace")
    parser.add_argument("--until-failure", action="store_true", help="stop at the first that fails")
    arguments = parser.parse_args()
    seeds = [seed + more for seed in arguments.seeds for more in range(arguments.count)]
    trace = sys.stdout if len(seeds) == 1 and not arguments.quiet else None
    failed = False
    for seed in seeds:
        failed |= not replay(seed, trace)
        if failed and arguments.until_failure:
            break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
