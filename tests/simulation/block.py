"""Many seeds in a row: each must hold, and together they must have suffered everything."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.simulation.checks import REACHED
from tests.simulation.plan import KINDS
from tests.simulation.run import run

BLOCK = 100
RARE = frozenset({"return lost", "return late"})  # few chunks are returned: of these one is enough for a block


def hold(first: int, count: int = BLOCK) -> None:
    """Run the seeds from `first` on; fails with the first that breaks a promise, or where a fault kind never struck."""
    faults: Counter[str] = Counter()
    reached: set[str] = set()
    for seed in range(first, first + count):
        outcome = run(seed)
        if outcome.failure:
            pytest.fail(f"{outcome.failure}\nreplay it: python -m tests.simulation {seed}\n{outcome.where}")
        faults += outcome.faults
        reached |= outcome.reached
    rare = set() if RARE.isdisjoint(faults) else RARE
    never = sorted(KINDS - set(faults) - rare)
    assert not never, f"these faults never struck: {never}"
    assert reached == REACHED, f"never reached: {sorted(REACHED - reached)}"
