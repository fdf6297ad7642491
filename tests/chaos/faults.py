"""Faults by a schedule that a seed decides: each kind at each sort of part, in rounds, several at a time."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import psutil
from tests.chaos.grid import LEASE_S, ChaosGrid
from tests.chaos.network import Cut
from tests.chaos.records import Fault, FaultKind

GAP_S = 1.2  # between the beginnings of two faults, on average
BRIEF_S, LONG_S = (0.1, 1.5), (0.5, 1.5 * LEASE_S)  # how long a part stays dead; how long it stays silent
_CUTS = {FaultKind.CUT: Cut.BOTH, FaultKind.CUT_OUT: Cut.OUT, FaultKind.CUT_IN: Cut.IN}
_POLL_S = 0.05

# One round. Killing is what the soak counts: it happens most.
_ROUND = {
    FaultKind.KILL: ["server", "server", "worker", "worker", "worker", "builder", "nats", "postgres"],
    FaultKind.RUNNER: ["worker", "worker"],
    FaultKind.RESTART: ["server", "worker", "nats", "postgres"],
    FaultKind.PAUSE: ["server", "worker", "nats"],
    FaultKind.FREEZE: ["worker", "builder"],
    FaultKind.CUT: ["server", "worker", "nats", "postgres"],
    FaultKind.CUT_OUT: ["server", "worker"],
    FaultKind.CUT_IN: ["server", "worker"],
}


class Injector:
    """Hurts a grid from the main thread. `faults` are those that were undone; `counts` what was done to which sort."""

    def __init__(self, grid: ChaosGrid, *, seed: int) -> None:
        self.faults: list[Fault] = []
        self.counts: Counter[tuple[FaultKind, str]] = Counter()
        self._grid = grid
        self._dice = random.Random(seed)
        self._number = count()
        self._open: dict[str, tuple[FaultKind, float]] = {}
        self._undo: list[tuple[float, int, str]] = []

    def run(self, *, rounds: int = 0, for_s: float = 0.0) -> None:
        """So many rounds and at least so long; every fault is undone when it returns."""
        ends_at, done = time.monotonic() + for_s, 0
        try:
            while done < rounds or time.monotonic() < ends_at:
                for kind, sort in self._round():
                    self._wait(self._dice.uniform(0.3, 2 * GAP_S - 0.3))
                    self._do(kind, sort)
                    if done >= rounds and time.monotonic() >= ends_at:
                        break
                done += 1
        finally:
            self._undo_all()

    def _round(self) -> list[tuple[FaultKind, str]]:
        cuts = self._grid.network is not None
        found = [(kind, sort) for kind, sorts in _ROUND.items() if cuts or kind not in _CUTS for sort in sorts]
        self._dice.shuffle(found)
        return found

    def _do(self, kind: FaultKind, sort: str) -> None:
        """One fault to one part of that sort which is well and can have it; waits until there is one."""
        while True:
            well = [name for name in self._of(sort) if name not in self._open]
            name = self._dice.choice(well) if well else ""
            began_at = time.time()
            if name and self._begin(kind, name):
                break
            self._wait(_POLL_S)
        self.counts[kind, sort] += 1
        if kind in {FaultKind.RUNNER, FaultKind.RESTART}:  # over as soon as it is done
            self.faults.append(Fault(kind=kind, target=name, began_at=began_at, ended_at=time.time()))
            return
        self._open[name] = (kind, began_at)
        lasts_s = self._dice.uniform(*(BRIEF_S if kind is FaultKind.KILL else LONG_S))
        heapq.heappush(self._undo, (time.monotonic() + lasts_s, next(self._number), name))

    def _begin(self, kind: FaultKind, name: str) -> bool:
        part = self._grid.parts[name]
        match kind:
            case FaultKind.KILL:
                part.kill()
            case FaultKind.RESTART:
                part.end()
                self._grid.start_again(name)
            case FaultKind.PAUSE | FaultKind.FREEZE:
                part.pause(children=kind is FaultKind.FREEZE)
            case FaultKind.RUNNER:
                return self._kill_runner(name)
            case FaultKind.CUT | FaultKind.CUT_OUT | FaultKind.CUT_IN:
                self._grid.cut(name, _CUTS[kind])
        return True

    def _kill_runner(self, name: str) -> bool:
        runners = self._grid.parts[name].children("wasmgrid.runner")
        with suppress(psutil.NoSuchProcess):
            if runners:
                self._dice.choice(runners).kill()
                return True
        return False

    def _end(self, name: str) -> None:
        kind, began_at = self._open[name]
        match kind:
            case FaultKind.KILL:
                self._grid.start_again(name)
            case FaultKind.PAUSE | FaultKind.FREEZE:
                self._grid.parts[name].resume()
            case _:
                self._grid.heal(name)
        del self._open[name]
        self.faults.append(Fault(kind=kind, target=name, began_at=began_at, ended_at=time.time()))

    def _wait(self, for_s: float) -> None:
        """Let so much time pass, undoing what is due meanwhile."""
        until = time.monotonic() + for_s
        while True:
            while self._undo and self._undo[0][0] <= time.monotonic():
                self._end(heapq.heappop(self._undo)[2])
            left = min([until, *(due for due, _, _ in self._undo[:1])]) - time.monotonic()
            if time.monotonic() >= until:
                return
            time.sleep(max(left, 0.0))

    def _undo_all(self) -> None:
        for _, _, name in sorted(self._undo):
            self._end(name)
        self._undo.clear()

    def _of(self, sort: str) -> list[str]:
        return [name for name in self._grid.parts if name.rstrip("0123456789") == sort]


def missing(injector: Injector, *, cuts: bool) -> Iterator[str]:
    """The kinds of faults, per sort of part, that a run of at least one round should have had and did not have."""
    for kind, sorts in _ROUND.items():
        for sort in sorted(set(sorts)):
            if (cuts or kind not in _CUTS) and not injector.counts[kind, sort]:
                yield f"{kind}: {sort}"
