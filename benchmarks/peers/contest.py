"""Peers against the bare loop, in one run: in each round each peer runs each module, between two slices of the loop.

A ratio is made of slices that were neighbours in time, so that a machine with other work to do is unjust to both.
Each peer has the machine for itself while it is its turn; the bare loop waits meanwhile and uses nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import modules
from benchmarks.environments import MissingError
from benchmarks.figures import ratio, spread
from benchmarks.peers.peer import Peer, Slice
from benchmarks.peers.roster import BARE, MODULES, Entrant
from benchmarks.sizes import ROUNDS, scaled

_WARM_UP = 0.05  # of a slice: every process of a peer meets the module before it is timed
_WARM_UP_LEAST = 8


@dataclass
class Score:
    """What one entrant did with one module: its slices, and the bare loop's beside each."""

    slices: list[Slice] = field(default_factory=list)
    beside: list[Slice] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, Any]:
        """All of it as numbers."""
        ratios = [ratio(own.per_s, bare.per_s) for own, bare in zip(self.slices, self.beside, strict=True)]
        extra = [ratio(own.cpu_us, bare.cpu_us) for own, bare in zip(self.slices, self.beside, strict=True)]
        return {
            "count": self.slices[0].count,
            "per_s": spread([own.per_s for own in self.slices]),
            "cpu_us": spread([own.cpu_us for own in self.slices]),
            "rss_mb": spread([own.rss_mb for own in self.slices]),
            "task_mb": self.slices[-1].task_mb,
            "parts_us": self._parts_us(),
            "bare_per_s": spread([bare.per_s for bare in self.beside]),
            "bare_cpu_us": spread([bare.cpu_us for bare in self.beside]),
            "ratio": spread(ratios),
            "cpu_ratio": spread(extra),
        }

    def _parts_us(self) -> dict[str, float]:
        names = {name for own in self.slices for name in own.parts}
        used = {name: [own.parts.get(name, 0.0) / own.count * 1e6 for own in self.slices] for name in names}
        return {name: statistics.median(values) for name, values in sorted(used.items())}


class Contest:
    """The entrants, what they scored, and why some did not take part."""

    def __init__(self, entrants: Sequence[Entrant], names: Sequence[str], *, bare: Entrant = BARE) -> None:
        """`names`: of the modules, keys of `roster.MODULES`."""
        self._entrants, self._names, self._bare = entrants, names, bare
        self.scores: dict[tuple[str, str], Score] = {}
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """All rounds; the figures."""
        built = {name: modules.module(MODULES[name]) for name in self._names}
        with Peer(self._bare.name, self._bare.argv) as bare:
            self.versions[self._bare.name] = bare.version
            for name, module in built.items():
                _warm(bare, self._bare, name, module, None)
            for number in range(ROUNDS):
                for entrant in self._entrants:
                    if entrant.name not in self.missing:
                        print(f"  round {number + 1} of {ROUNDS}: {entrant.name}", file=sys.stderr, flush=True)
                        self._turn(entrant, bare, built)
        return self.figures()

    def figures(self) -> dict[str, Any]:
        """What is known so far."""
        peers: dict[str, Any] = {}
        for (name, module), score in self.scores.items():
            peers.setdefault(name, {})[module] = score.figures
        return {"versions": self.versions, "missing": self.missing, "peers": peers}

    def _turn(self, entrant: Entrant, bare: Peer, built: dict[str, Path]) -> None:
        try:
            with Peer(entrant.name, entrant.argv) as peer:
                self.versions[entrant.name] = peer.version
                for name, module in built.items():
                    native = modules.native(MODULES[name]) if entrant.native else None
                    _warm(peer, entrant, name, module, native)
                    count = scaled(self._bare.counts[name])
                    before = bare.run(module, None, count)
                    own = peer.run(module, native, scaled(entrant.counts[name]))
                    after = bare.run(module, None, count)
                    score = self.scores.setdefault((entrant.name, name), Score())
                    score.beside.append(before.plus(after))
                    score.slices.append(own)
        except (MissingError, OSError) as error:
            self.missing[entrant.name] = str(error)
            print(f"  {entrant.name} is left out: {error}", file=sys.stderr, flush=True)


def _warm(peer: Peer, entrant: Entrant, name: str, module: Path, native: Path | None) -> None:
    peer.run(module, native, max(_WARM_UP_LEAST, int(scaled(entrant.counts[name]) * _WARM_UP)))
