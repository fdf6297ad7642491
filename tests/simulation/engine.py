"""Virtual time and chance: what happens when, in one order for one seed. Nothing here knows what is simulated."""

from __future__ import annotations

import heapq
import random
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.simulation.plan import Plan

Call = Callable[..., Any]


class Violation(AssertionError):
    """The product broke a promise; the message says which, for whom and when."""


class Engine:
    """The queue of what is to happen, the dice, the count of faults, and the history as one digest.

    `reached` are the rare states that this history came to. Equal seeds give equal digests, in any process.
    """

    def __init__(self, seed: int, plan: Plan, *, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.plan = plan
        self.now = 0.0
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.reached: set[str] = set()
        self.steps = 0
        self.digest = 0
        self._trace = trace
        self._queue: list[tuple[float, int, Call, tuple[Any, ...]]] = []
        self._number = 0

    # ---- time

    def at(self, when: float, call: Call, *args: Any) -> None:
        """`call(*args)` at `when`; what is due at one time happens in the order in which it was asked for."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, call, args))

    def after(self, delay_s: float, call: Call, *args: Any) -> None:
        """`call(*args)` in `delay_s`."""
        self.at(self.now + delay_s, call, *args)

    def step(self) -> None:
        """The next thing happens."""
        self.now, _, call, args = heapq.heappop(self._queue)
        self.steps += 1
        call(*args)

    @property
    def faulty(self) -> bool:
        """Whether faults are still inflicted."""
        return self.now < self.plan.horizon_s

    # ---- chance

    def chance(self, kind: str, probability: float) -> bool:
        """Whether a fault of `kind` strikes now; it is counted where it does."""
        weight = self.plan.weights.get(kind, 0.0)
        if not weight or not self.faulty or self.random.random() >= probability * weight:
            return False
        self.strike(kind)
        return True

    def strike(self, kind: str) -> None:
        """A fault of `kind` struck."""
        self.faults[kind] += 1

    def between(self, low: float, high: float) -> float:
        """A number from the dice."""
        return low + (high - low) * self.random.random()

    # ---- what people read

    @property
    def traced(self) -> bool:
        """Whether somebody reads the trace."""
        return self._trace is not None

    def note(self, who: str, what: str, *args: object) -> None:
        """A line of the trace (`what % args`), where somebody reads it."""
        if self._trace is not None:
            self._trace(f"{self.now:9.3f}  {who:<4} {what % args if args else what}")

    def record(self, *facts: object) -> None:
        """Facts that make this history this one: they go into the digest."""
        self.digest = zlib.crc32(repr(facts).encode(), self.digest)


class Clock:
    """One machine's monotonic clock: its own zero, its own pace, and it may stand still while the machine sleeps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._zero = engine.between(0, 1000)
        self.rate = 1 + engine.between(-1, 1) * engine.plan.drift
        self._slept = 0.0

    def now(self) -> float:
        """What this machine's clock says."""
        return self._zero + self.rate * (self._engine.now - self._slept)

    def sleep(self, duration_s: float) -> None:
        """The machine is suspended for so long, and does not notice."""
        self._slept += duration_s


class Process:
    """Something that runs until it is killed, and that can be stopped (SIGSTOP) and resumed.

    What was set going in one life does not happen in another; what falls due while it is frozen happens at the thaw.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.clock = Clock(engine)
        self.life = 0
        self.alive = False
        self.frozen_until = 0.0

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self.frozen_until > self.engine.now

    def after(self, delay_s: float, call: Call, *args: Any) -> None:
        """`call(*args)` in `delay_s` of true time, in this life."""
        self.engine.at(self.engine.now + delay_s, self._run, self.life, call, args)

    def timer(self, delay_s: float, call: Call, *args: Any) -> None:
        """`call(*args)` in `delay_s` by this machine's clock, in this life."""
        self.engine.at(self.engine.now + delay_s / self.clock.rate, self._run, self.life, call, args)

    def deliver(self, call: Call, args: tuple[Any, ...]) -> None:
        """`call(*args)` now, or at the thaw."""
        self._run(self.life, call, args)

    def _run(self, life: int, call: Call, args: tuple[Any, ...]) -> None:
        if life != self.life or not self.alive:
            return
        if self.frozen_until > self.engine.now:
            self.engine.at(self.frozen_until, self._run, life, call, args)
            return
        call(*args)
