"""`python -m benchmarks.peers [NAME...]`: all peers with all modules, or those whose name holds one of the words."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import figures
from benchmarks.grid import show
from benchmarks.peers.contest import Contest
from benchmarks.peers.roster import MODULES, PEERS


def words(score: dict[str, Any]) -> str:
    """One entrant's figures with one module, for people."""
    rate, ratio, cpu = score["per_s"], score["ratio"], score["cpu_us"]
    return (
        f"{rate['median']:.0f}/s ({rate['least']:.0f} to {rate['most']:.0f}), {ratio['median']:.3f} of the bare loop's "
        f"{score['bare_per_s']['median']:.0f}/s, {cpu['median']:.0f} us of CPU, {score['rss_mb']['median']:.0f} MB"
    )


def tell(measured: dict[str, Any], title: str) -> None:
    """Print what a contest measured."""
    for name, scores in measured["peers"].items():
        show(f"{title}: {measured['versions'][name]}", [(module, words(score)) for module, score in scores.items()])
    for name, reason in measured["missing"].items():
        show(f"{title}: {name}", [("left out", reason)])


def main(wanted: list[str]) -> None:
    """Measure, keep and show."""
    entrants = [each for each in PEERS if not wanted or any(word in each.name.lower() for word in wanted)]
    measured = Contest(entrants, list(MODULES)).run()
    tell(measured, "peers")
    if not wanted:
        print(figures.save("peers", measured))


if __name__ == "__main__":
    main(sys.argv[1:])
