"""CPU per task as the queue grows from 10^3 to 10^6: an array runs while so many others wait behind it.

What waits are arrays of 1,000 of ten shapes that need more than a long sleeper leaves free; what runs goes before them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import wasmtime
from tests.e2e.guests import sleeper

from benchmarks import cputime, figures, modules
from benchmarks.client import TASK, Api
from benchmarks.grid import Grid, running, show, temporary_home
from benchmarks.plot import Panel, draw
from benchmarks.sizes import ROUNDS, scaled

WAITING = (1_000, 10_000, 100_000, 1_000_000)
IN_ARRAY, SHAPES = 1_000, 10
TASKS = 10_000
CORES = os.cpu_count() or 1


class Queue:
    """A grid with a sleeper, and with as many tasks waiting as were asked for."""

    def __init__(self, grid: Grid) -> None:
        self._grid, self._api = grid, Api(grid)
        self._small = self._api.module(modules.module("small.rs"))
        self._waiting = 0
        sleeping = self._api.put("modules", bytes(wasmtime.wat2wasm(sleeper(7200.0))))
        spec = {"module_sha256": sleeping, **TASK, "cpus": 0.25, "time_limit_s": 86400.0}
        self._api.submit(spec)

    def grow(self, tasks: int) -> None:
        """Until so many tasks wait."""
        while self._waiting < tasks:
            shape = {**TASK, "cpus": CORES, "memory_mb": 64 + self._waiting // IN_ARRAY % SHAPES}
            spec = {"module_sha256": self._small, "array": f"0-{IN_ARRAY - 1}", **shape, "priority": -1}
            self._api.submit(spec)
            self._waiting += IN_ARRAY

    def run(self, tasks: int) -> dict[str, float]:
        """Run so many: microseconds of CPU each, by process."""
        before = cputime.by_process(self._grid.process.pid)
        each = (CORES - 0.25) / CORES
        self._api.finish(self._api.array(self._small, f"0-{tasks - 1}", cpus=round(each, 3))["id"])
        return cputime.each_us(self._grid.process.pid, before, tasks)


def measure(home: Path) -> dict[int, list[dict[str, float]]]:
    """Rounds for each length of the queue."""
    took: dict[int, list[dict[str, float]]] = {}
    with running(home) as grid:
        queue = Queue(grid)
        queue.run(scaled(TASKS))
        for waiting in WAITING:
            queue.grow(scaled(waiting, least=IN_ARRAY))
            took[waiting] = [queue.run(scaled(TASKS)) for _ in range(ROUNDS)]
    return took


def main() -> None:
    """Measure, keep and show."""
    with temporary_home() as home:
        took = measure(home)
    lengths = {waiting: figures.spread([each["all"] for each in rounds]) for waiting, rounds in took.items()}
    medians = [each["median"] for each in lengths.values()]
    ratio = figures.ratio(max(medians), min(medians))
    rows = [
        (f"{waiting} waiting", f"{each['median']:.0f} us ({each['least']:.0f} to {each['most']:.0f})")
        for waiting, each in lengths.items()
    ]
    show("CPU a task", [*rows, ("most to least (at most 1.15)", f"{ratio:.3f}")])
    kept: dict[str, Any] = {str(waiting): {**each, "parts": took[waiting][-1]} for waiting, each in lengths.items()}
    print(figures.save("growth", {"waiting": kept, "ratio": ratio}))


def plot(measured: dict[str, Any]) -> str:
    """What was measured as a picture."""
    lengths = {int(waiting): each for waiting, each in measured["waiting"].items()}
    first = lengths[WAITING[0]]["median"]
    panel = Panel("CPU us per task", [each["median"] for each in lengths.values()], promised=1.15 * first)
    return draw(list(lengths), [panel], unit="tasks waiting")


if __name__ == "__main__":
    main()
