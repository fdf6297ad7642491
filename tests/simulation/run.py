"""One seed from its beginning to its end, and what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from tests.simulation.world import World


@dataclass
class Outcome:
    """What a seed gave. `failure` is empty where everything held."""

    seed: int
    family: str
    failure: str = ""
    where: str = ""
    digest: int = 0
    virtual_s: float = 0.0
    steps: int = 0
    starts: int = 0
    tasks: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    reached: set[str] = field(default_factory=set)


def run(seed: int, trace: TextIO | None = None) -> Outcome:
    """Run the world of `seed`."""
    world = World(seed, trace=None if trace is None else lambda line: print(line, file=trace))
    outcome = Outcome(seed, world.plan.family)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 -- whatever it was, it is this seed's failure
        outcome.failure = (
            f"seed {seed} ({world.plan.family}) at {world.engine.now:.3f} s: {type(error).__name__}: {error}"
        )
        outcome.where = "".join(traceback.format_tb(error.__traceback__)[-3:])
    outcome.digest, outcome.virtual_s, outcome.steps = world.engine.digest, world.engine.now, world.engine.steps
    outcome.starts = sum(len(starts) for starts in world.ledger.starts.values())
    outcome.tasks = len(world.store.rows.results)
    outcome.faults, outcome.excused = world.engine.faults, world.ledger.excused
    outcome.reached = world.engine.reached
    return outcome


def replay(seed: int, trace: TextIO | None = None) -> bool:
    """Run it and say what came of it; whether it held."""
    outcome = run(seed, trace)
    if outcome.failure:
        print(outcome.failure, outcome.where, sep="\n")
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.faults.items()))
    print(
        f"seed {seed}: {outcome.family}, {outcome.tasks} tasks, {outcome.starts} starts, {outcome.virtual_s:.1f} s, "
        f"{outcome.steps} steps, digest {outcome.digest:08x}; {faults or 'no faults'}; again: {dict(outcome.excused)}"
    )
    return not outcome.failure
