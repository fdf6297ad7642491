"""Arrays over the API: 50,000 small tasks beside the bare loop and Ray, and 2,000 of 5 ms beside the bare loop."""

from __future__ import annotations

from dataclasses import replace

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


def main() -> None:
    """Measure, keep and show."""
    small = Contest(SMALL, ["small"], bare=LIMIT).run()
    compute = Contest(COMPUTE, ["compute"], bare=LIMIT).run()
    for title, measured in (("array of small tasks", small), ("array of 5 ms tasks", compute)):
        tell(measured, title)
        for name, scores in measured["peers"].items():
            if name == OURS.name:
                parts = next(iter(scores.values()))["parts_us"]
                show("us of CPU a task", [(part, f"{us:.1f}") for part, us in parts.items()])
    print(figures.save("arrays", {"small": small, "compute": compute}))


if __name__ == "__main__":
    main()
