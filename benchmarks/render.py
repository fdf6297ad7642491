"""`python -m benchmarks render`: the last runs' figures into the documents.

They stand between `<!-- figures: NAME -->` and `<!-- end -->`.
A block whose benchmark has no figures here is left as it is. Plots are drawn anew beside the documents.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import figures, growth, tables
from benchmarks.grid import ROOT
from benchmarks.plot import Bars, bars

DOCS = ROOT / "docs"
PAGES = (DOCS / "benchmarks.md", DOCS / "performance.md", *sorted((DOCS / "adr").glob("*.md")))
BLOCK = re.compile(r"(<!-- figures: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
BLOCKS: dict[str, Callable[[], str | None]] = {
    "goals": tables.goals,
    "peers": tables.peers,
    "memory": tables.memory,
    "leftout": tables.left_out,
    "versions": tables.versions,
    "single": tables.single_parts,
    "array": tables.array_parts,
    "arraystages": tables.array_stages,
    "singlestages": tables.single_stages,
    "growth": tables.growth,
    "runtimes": tables.runtimes,
}


def filled(page: str) -> str:
    """`page` with every block that there are figures for."""

    def fill(found: re.Match[str]) -> str:
        made = BLOCKS[found[2]]()
        return found[0] if made is None else f"{found[1]}{made.rstrip()}\n{found[4]}"

    return BLOCK.sub(fill, page)


def plots() -> dict[Path, str]:
    """The pictures that there are figures for."""
    drawn: dict[Path, str] = {}
    measured = figures.load("peers")
    if measured is not None:
        drawn[DOCS / "peers.svg"] = bars([_rates(measured, module) for module in tables.TITLES])
    measured = figures.load("growth")
    if measured is not None:
        drawn[DOCS / "growth.svg"] = growth.plot(measured)
    return drawn


def _rates(measured: dict[str, Any], module: str) -> Bars:
    peers = {name: scores for name, scores in measured["peers"].items() if module in scores}
    bare = next(iter(peers.values()))[module]["bare_per_s"]["median"]
    rates = {name: scores[module]["per_s"]["median"] for name, scores in peers.items()}
    return Bars(f"{tables.TITLES[module]}, tasks/s", {"bare loop": bare, **rates})


def main() -> None:
    """Fill and draw; say which files changed."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    for path, picture in plots().items():
        path.write_text(picture, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
