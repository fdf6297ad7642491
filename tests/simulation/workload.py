"""What people ask for: jobs of every kind, and what their guests do wherever they run."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import msgspec
from tests.simulation.plan import Plan
from tests.simulation.store import source

from wasmgrid.core.job import StoredSpec

TIME_LIMIT_S = 8.0
FEW = 60  # tasks of one request that count towards a seed's size
MODULES = [f"{number:064x}" for number in range(0xA0, 0xA6)]


@dataclass(frozen=True)
class Guest:
    """What a program does: `ok`, `fails` (exit code 1), `hungry` (out of memory below `needs_mb`), `slow` (past its
    time limit), `endless` (until cancelled), `crashes` (its runner, each time) or `traps`.

    `some fail`, `some crash` and `some last` (for `long_s`) are arrays: those tasks whose index is a multiple of
    `every`, while the others are ok.
    """

    does: str = "ok"
    duration_s: float = 0.1
    needs_mb: int = 0
    every: int = 0
    long_s: float = 0.0

    def at(self, index: int) -> Guest:
        """What the task with this index does."""
        if not self.does.startswith("some "):
            return self
        if index % self.every:
            return replace(self, does="ok")
        does = {"some fail": "fails", "some crash": "crashes", "some last": "ok"}[self.does]
        return replace(self, does=does, duration_s=self.long_s or self.duration_s)


@dataclass(frozen=True)
class Request:
    """A job that somebody submits at `when`; `cancel_after_s` where they change their mind.

    `starts_within_s`: where nothing fails, it waits no longer, whatever else there is to do.
    """

    when: float
    tenant: str
    spec: StoredSpec
    guest: Guest
    cancel_after_s: float | None = None
    starts_within_s: float | None = None

    @property
    def task_count(self) -> int:
        """How many tasks it is."""
        return sum(count for _, count in self.spec.indexes)


def requests(seed: int, plan: Plan) -> list[Request]:
    """At least `plan.tasks` tasks, in the order of submission."""
    if plan.is_crowded:
        return crowd(seed)
    dice = random.Random(f"workload {seed}")
    made: list[Request] = []
    tasks = 0
    while tasks < plan.tasks:
        kind = dice.choices(list(KINDS), weights=[weight for weight, _ in KINDS.values()])[0]
        request = KINDS[kind][1](dice, dice.uniform(0, plan.horizon_s * 0.9), dice.choice(sorted(plan.tenants)))
        made.append(request)
        tasks += min(request.task_count, FEW)
    return sorted(made, key=lambda request: request.when)


def crowd(seed: int) -> list[Request]:
    """More small tasks than the pool can take, all the time, and a few that need a whole worker each."""
    dice = random.Random(f"crowd {seed}")
    limit_s = 4.0
    small = StoredSpec(module_sha256=MODULES[0], cpus=1, memory_mb=500, disk_mb=100, time_limit_s=limit_s)
    large = StoredSpec(module_sha256=MODULES[1], cpus=8, memory_mb=4000, disk_mb=100, time_limit_s=limit_s)
    made = [Request(1 + 0.12 * number, "default", small, Guest(duration_s=3.0)) for number in range(240)]
    made += [
        Request(when + dice.random(), "default", large, Guest(duration_s=1.0), starts_within_s=4 * limit_s)
        for when in (8, 20)
    ]
    return sorted(made, key=lambda request: request.when)


def _duration(dice: random.Random) -> float:
    return dice.choice([0.01, 0.05, 0.3, 0.3, 1.0, 3.0])


def _spec(dice: random.Random, **fields: object) -> StoredSpec:
    given: dict[str, object] = {
        "module_sha256": dice.choice(MODULES),
        "cpus": dice.choice([0.5, 1, 1]),
        "memory_mb": 500,
        "disk_mb": 100,
        "time_limit_s": TIME_LIMIT_S,
        "priority": dice.choice([0, 0, 0, 0, 0, 0, 0, 5]),
    }
    return StoredSpec(**{**given, **fields})  # type: ignore[arg-type]


def _plain(dice: random.Random, when: float, tenant: str) -> Request:
    return Request(when, tenant, _spec(dice), Guest(duration_s=_duration(dice)))


def _array(dice: random.Random, when: float, tenant: str) -> Request:
    array = f"0-{dice.randint(1, 15)}" if dice.random() < 0.8 else "3,7,10-20"
    return Request(when, tenant, _spec(dice, array=array), Guest(duration_s=_duration(dice)))


def _mixed(dice: random.Random, when: float, tenant: str) -> Request:
    """An array of which the even tasks fail."""
    spec = _spec(dice, array=f"0-{dice.randint(1, 7)}", max_fails=dice.choice([None, None, 0, 2]))
    return Request(when, tenant, spec, Guest("some fail", _duration(dice), every=2))


def _sweep(dice: random.Random, when: float, tenant: str) -> Request:
    """Many short tasks, which travel in chunks."""
    first, count = dice.choice([0, 0, 0, 100]), dice.choice([50, 60, 90, 150])
    at_once = dice.choice([None, None, 1, 2, 3])
    if dice.random() < 0.03:
        count, at_once = 2000, 2
    spec = _spec(
        dice,
        array=f"{first}-{first + count - 1}",
        function=dice.choice([None, "f"]),
        concurrency=at_once,
        retries=dice.choice([0, 0, 1]),
        max_fails=dice.choice([None, None, None, 0, 3]),
        priority=0,
    )
    does = dice.choice(["ok", "ok", "ok", "some fail", "some crash", "some last"])
    long_s = dice.choice([0.15, 0.5, 2.0]) if does == "some last" else 0.0
    duration_s = dice.choice([0.0005, 0.002, 0.005, 0.02])
    guest = Guest(does, duration_s, every=dice.choice([17, 41, 90]), long_s=long_s)
    return Request(when, tenant, spec, guest, cancel_after_s=dice.uniform(0.01, 2) if dice.random() < 0.1 else None)


def _built(dice: random.Random, when: float, tenant: str) -> Request:
    spec = _spec(dice, source=source(dice.randint(1, 6)), module_sha256=None, build_only=dice.random() < 0.1)
    if not spec.build_only and dice.random() < 0.4:
        spec = msgspec.structs.replace(spec, array=dice.choice(["0-2", "5-44"]))
    return Request(when, tenant, spec, Guest(duration_s=_duration(dice)))


def _big(dice: random.Random, when: float, tenant: str) -> Request:
    spec = _spec(dice, cpus=dice.choice([4, 8]), memory_mb=4000, priority=0)
    return Request(when, tenant, spec, Guest(duration_s=1.0))


def _gpu(dice: random.Random, when: float, tenant: str) -> Request:
    model = dice.choice([None, "A100", "T4"])
    array = dice.choice([None, "0-2"])
    spec = _spec(dice, gpus=1 if model else dice.choice([1, 2]), gpu_model=model, array=array)
    return Request(when, tenant, spec, Guest(duration_s=_duration(dice)))


def _labelled(dice: random.Random, when: float, tenant: str) -> Request:
    label = {"zone": dice.choice(["north", "south"])}
    spec = _spec(dice, **{dice.choice(["require", "prefer"]): label})
    return Request(when, tenant, spec, Guest(duration_s=_duration(dice)))


def _failing(dice: random.Random, when: float, tenant: str) -> Request:
    does = dice.choice(["fails", "fails", "traps", "slow", "crashes"])
    spec = _spec(dice, retries=dice.choice([0, 1, 2]), time_limit_s=2.0)
    return Request(when, tenant, spec, Guest(does, 20.0 if does == "slow" else min(1.0, _duration(dice))))


def _hungry(dice: random.Random, when: float, tenant: str) -> Request:
    spec = _spec(dice, memory_mb=400, retries=3, retry_memory=2.0)
    return Request(when, tenant, spec, Guest("hungry", 0.1, needs_mb=dice.choice([700, 1500])))


def _impatient(dice: random.Random, when: float, tenant: str) -> Request:
    """What nobody here can run, or not in time."""
    if dice.random() < 0.5:
        return Request(when, tenant, _spec(dice, queue_timeout_s=5.0, require={"zone": "moon"}), Guest())
    return Request(
        when, tenant, _spec(dice, total_timeout_s=4.0, array="0-1"), Guest(duration_s=dice.choice([0.5, 6.0]))
    )


def _endless(dice: random.Random, when: float, tenant: str) -> Request:
    spec = _spec(dice, time_limit_s=10_000.0, cpus=0.5)
    return Request(when, tenant, spec, Guest("endless", 9_000.0), cancel_after_s=dice.uniform(0.005, 12))


KINDS = {
    "plain": (30, _plain),
    "array": (9, _array),
    "mixed": (2, _mixed),
    "sweep": (5, _sweep),
    "built": (10, _built),
    "big": (3, _big),
    "gpu": (6, _gpu),
    "labelled": (6, _labelled),
    "failing": (6, _failing),
    "hungry": (2, _hungry),
    "impatient": (3, _impatient),
    "endless": (3, _endless),
}
