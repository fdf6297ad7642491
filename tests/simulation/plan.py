"""What one seed has in store: how large the world is, and which faults it suffers how often.

A seed that suffers everything at once hides what a single fault does (its every rerun has an excuse), so most seeds get
a part of the faults, and some get one family only: only servers fail, only the network, nothing at all.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from wasmgrid.scheduling.scheduler import Policy

SERVERS = ("server killed", "server killed after commit", "server frozen", "server stopped", "all servers killed")
STORE = ("store write refused", "store answer lost", "store slow", "server cut from store", "hint lost")
NETWORK = (
    *("message lost", "message doubled", "message late", "worker cut off", "worker not heard", "worker does not hear"),
    *("network stalls", "server cut from workers", "results in parts", "return lost", "return late"),
)
WORKERS = (
    *("worker killed", "worker frozen", "worker suspended", "worker leaves", "worker lifetime ends", "worker changes"),
    *("worker goes bad", "runner crash", "module gone"),
)
PEOPLE = ("cancel", "worker cordoned", "worker drained")
KINDS = frozenset((*SERVERS, *STORE, *NETWORK, *WORKERS, *PEOPLE))

POLICIES: list[Policy] = ["best_fit", "best_fit", "spread"]
FAMILIES: dict[str, tuple[str, ...]] = {
    "calm": (),
    "servers": (*SERVERS, *STORE),
    "network": NETWORK,
    "workers": WORKERS,
    "people": PEOPLE,
    "servers and people": (*SERVERS, "hint lost", *PEOPLE),
}


@dataclass
class Plan:
    """`weights` multiplies the usual frequency of each fault kind; a kind that is not in it does not occur.

    `horizon_s`: no fault strikes later. `drift`: the most by which a machine's clock may run fast or slow.
    `is_crowded`: there is always more to do than can be done at once.
    """

    family: str
    weights: dict[str, float]
    horizon_s: float
    servers: int
    workers: int
    tasks: int = 200
    is_crowded: bool = False
    drift: float = 0.01
    policy: Policy = "best_fit"
    tenants: dict[str, float] = field(default_factory=lambda: {"default": 1.0, "blue": 2.0, "green": 1.0})


def plan(seed: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"plan {seed}")
    weights = {kind: dice.choice([0.5, 1.0, 2.0]) for kind in sorted(KINDS) if dice.random() < 0.6}
    family = "any"
    if dice.random() < 0.4:
        family = dice.choice(sorted(FAMILIES))
        weights = {kind: dice.choice([1.0, 2.0]) for kind in FAMILIES[family]}
    is_crowded = dice.random() < 0.1
    if is_crowded:
        family, weights = "crowded", {}
    return Plan(
        family=family,
        is_crowded=is_crowded,
        weights=weights,
        horizon_s=dice.uniform(25, 40),
        servers=dice.choice([2, 2, 3]),
        workers=dice.choice([5, 5, 6]),
        drift=dice.choice([0.0, 0.002, 0.01]),
        policy=dice.choice(POLICIES),
    )
