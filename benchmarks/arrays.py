"""Arrays over the API: 50,000 small tasks beside the bare loop and Ray, and 2,000 of 5 ms beside the bare loop.

`python -m benchmarks.arrays compute` (or `small`) measures one of them, and keeps no figures.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks import figures
from benchmarks.grid import show
from benchmarks.peers.__main__ import tell
from benchmarks.peers.contest import Contest
from benchmarks.peers.roster import BARE, HALF, OURS, RAY

SMALL = [
    replace(OURS, counts={"small": 50_000}),
    replace(HALF, counts={"small": 20_000}),
    replace(RAY, counts={"small": 3000}),
]
COMPUTE = [replace(OURS, counts={"compute": 2000}), replace(HALF, counts={"compute": 1000})]
LIMIT = replace(BARE, counts={"small": 15_000, "compute": 600})


ARRAYS = {"small": ("array of small tasks", SMALL), "compute": ("array of 5 ms tasks", COMPUTE)}


def main(kinds: Sequence[str]) -> None:
    """Measure these, or both; keep and show."""
    measured = {kind: measure(kind) for kind in kinds or ARRAYS}
    if set(measured) == set(ARRAYS):
        print(figures.save("arrays", measured))


def measure(kind: str) -> dict[str, Any]:
    """One array, all who run it beside us, and the limit."""
    title, entrants = ARRAYS[kind]
    measured = Contest(entrants, [kind], bare=LIMIT).run()
    tell(measured, title)
    for name, scores in measured["peers"].items():
        if name == OURS.name:
            parts = next(iter(scores.values()))["parts_us"]
            show("us of CPU a task", [(part, f"{us:.1f}") for part, us in parts.items()])
    return measured


if __name__ == "__main__":
    main(sys.argv[1:])
