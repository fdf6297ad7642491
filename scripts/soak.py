#!/usr/bin/env python3
"""The simulator's long form: many seeds over all cores, until one breaks a promise. `--seed N --trace` replays one.

`--keep-going` runs them all, and names those that failed at the end.

Ends with what was pushed through, and how often each fault struck; docs/reliability.md holds the figures.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.simulation.plan import KINDS  # noqa: E402 -- the path comes first
from tests.simulation.run import Outcome, replay, run  # noqa: E402

SAY_S = 10.0
FEWEST_FOR_ALL_KINDS = 1000


def main() -> int:
    """0 where every seed holds, and together they suffered every kind of fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS", "100000")), help="how many")
    parser.add_argument("--first", type=int, default=int(os.environ.get("FIRST", "1")), help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--keep-going", action="store_true", help="run the others, too, after one has failed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell all that happens")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return 0 if replay(arguments.seed, sys.stdout if arguments.trace else None) else 1
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    return soak(seeds, arguments.jobs, keep_going=arguments.keep_going)


def soak(seeds: range, jobs: int, *, keep_going: bool) -> int:
    """Run them all, or up to the first failure."""
    total, failed = Total(), []
    with multiprocessing.get_context("spawn").Pool(jobs, rarely_collect) as pool:
        for outcome in pool.imap_unordered(run, seeds, chunksize=10):
            total.add(outcome, len(seeds))
            if outcome.failure:
                print(f"\n{outcome.failure}\n{outcome.where}")
                print(f"replay it: {sys.argv[0]} --seed {outcome.seed} --trace", flush=True)
                failed.append(outcome.seed)
                if not keep_going:
                    pool.terminate()
                    return 1
    total.tell(promises_held=not failed)
    if failed:
        print(f"\n{len(failed)} of {len(seeds):,} seeds failed: {', '.join(map(str, sorted(failed)))}")
        return 1
    never = sorted(KINDS - set(total.faults))
    if never and len(seeds) >= FEWEST_FOR_ALL_KINDS:
        print(f"these faults never struck: {', '.join(never)}")
        return 1
    return 0


def rarely_collect() -> None:
    """A seed's world is one heap of cycles that goes at once: looking for garbage meanwhile costs a tenth."""
    gc.set_threshold(200_000)


class Total:
    """What all seeds together gave."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.seeds = self.tasks = self.starts = self.steps = 0
        self.virtual_s = 0.0
        self._began = self._said = time.monotonic()

    def add(self, outcome: Outcome, of: int) -> None:
        """One more seed; now and then a line of progress."""
        self.faults += outcome.faults
        self.excused += Counter({excuse.split(":")[0]: count for excuse, count in outcome.excused.items()})
        self.seeds += 1
        self.tasks += outcome.tasks
        self.starts += outcome.starts
        self.steps += outcome.steps
        self.virtual_s += outcome.virtual_s
        now = time.monotonic()
        if now - self._said >= SAY_S:
            self._said = now
            rate = self.seeds / (now - self._began)
            print(f"{self.seeds:,} of {of:,} seeds, {rate:.1f}/s, {sum(self.faults.values()):,} faults", flush=True)

    def tell(self, *, promises_held: bool) -> None:
        """Everything, for people."""
        took_s = time.monotonic() - self._began
        held = "; nothing lost, nothing doubled" if promises_held else ""
        print(
            f"{self.seeds:,} seeds in {took_s:,.0f} s: {self.tasks:,} tasks, {self.starts:,} starts, "
            f"{self.virtual_s / 3600:,.1f} h of virtual time, {self.steps:,} steps{held}"
        )
        for words, counts in (("faults", self.faults), ("starts beyond a task's first", self.excused)):
            print(f"\n{words}: {sum(counts.values()):,}")
            for kind, count in counts.most_common():
                print(f"  {count:>12,}  {kind}")


if __name__ == "__main__":
    sys.exit(main())
