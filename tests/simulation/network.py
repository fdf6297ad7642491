"""The fabric between servers and workers: a star whose every arm may be cut, one way or both, or may only stall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.engine import Call, Engine, Process

LEG_S = (0.001, 0.008)
LATE_S = 2.5
BOUNCES = 0.5  # of what is sent to a worker that is cut off: the fabric may or may not have noticed


@dataclass
class Arm:
    """One process's connection. Until these times nothing comes through (`stalls`: it comes through afterwards)."""

    out_until: float = 0.0
    in_until: float = 0.0
    stalls: bool = False


class Network:
    """Delivers in the order of sending between any two, but for what is lost, doubled, late or stalled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._arms: dict[str, Arm] = {}
        self._last: dict[tuple[str, str], float] = {}
        self.watch: Callable[[str, str, str, object], None] = lambda _fault, _sender, _to, _message: None

    def arm(self, name: str) -> Arm:
        """The connection of `name`."""
        return self._arms.setdefault(name, Arm())

    def cut(self, name: str, duration_s: float, *, outwards: bool, inwards: bool, stalls: bool = False) -> float:
        """Nothing passes there for so long; returns until when."""
        arm, until = self.arm(name), self._engine.now + duration_s
        if outwards:
            arm.out_until = max(arm.out_until, until)
        if inwards:
            arm.in_until = max(arm.in_until, until)
        arm.stalls = stalls
        return until

    def is_cut(self, name: str) -> bool:
        """Whether a request from there would get no answer now."""
        arm = self.arm(name)
        return max(arm.out_until, arm.in_until) > self._engine.now

    def send(
        self, sender: str, to: Process, message: object, deliver: Call, *args: Any, bounced: Call | None = None
    ) -> None:
        """`deliver(*args)` at `to` once the message got there; `bounced()` where nobody is known to be there."""
        engine = self._engine
        if engine.chance("message lost", 0.01):
            self._lose("message lost", sender, to, message)
            return
        arm = self.arm(sender)
        leaves = engine.now + engine.between(*LEG_S)
        if arm.out_until > engine.now:
            if not arm.stalls:
                self._lose("cut", sender, to, message)
                return
            leaves = arm.out_until
        arrives = max(leaves + engine.between(*LEG_S), self._last.get((sender, to.name), 0.0))
        if engine.chance("message late", 0.01):
            self.watch("message late", sender, to.name, message)
            engine.note(sender, "to %s LATE: %s", to.name, message)
            arrives += engine.between(0, LATE_S)
        else:
            self._last[sender, to.name] = arrives
        engine.at(arrives, self._arrive, sender, to, message, deliver, args, bounced)
        if engine.chance("message doubled", 0.01):
            self.watch("message doubled", sender, to.name, message)
            engine.at(arrives + engine.between(0, LATE_S), self._arrive, sender, to, message, deliver, args, None)

    def _arrive(
        self, sender: str, to: Process, message: object, deliver: Call, args: tuple[Any, ...], bounced: Call | None
    ) -> None:
        engine, arm = self._engine, self.arm(to.name)
        if arm.in_until > engine.now:
            if arm.stalls:
                engine.at(arm.in_until, self._arrive, sender, to, message, deliver, args, bounced)
                return
            self._lose("cut", sender, to, message)
            if bounced is not None and engine.random.random() < BOUNCES:
                bounced()
        elif to.alive:
            to.deliver(deliver, args)
        elif bounced is not None:
            bounced()

    def _lose(self, kind: str, sender: str, to: Process, message: object) -> None:
        self._engine.note(sender, "to %s LOST (%s): %s", to.name, kind, message)
        self.watch(kind, sender, to.name, message)
