"""How long until a grid is ready, and until a command answers: each as a process of its own, start to end."""

from __future__ import annotations

import statistics
import subprocess
import time

from benchmarks.grid import COMMAND, ROOT, running, show, temporary_home

STARTS, COMMANDS = 5, 20


def command_s(*words: str, environment: dict[str, str]) -> float:
    """Median seconds of one command."""
    took = []
    for _ in range(COMMANDS):
        began = time.perf_counter()
        subprocess.run([COMMAND, *words], env=environment, check=True, capture_output=True, cwd=ROOT)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    """Measure `up` in an empty home and again in the same one, then two commands."""
    ready = []
    with temporary_home() as home:
        for _ in range(STARTS):
            with running(home) as grid:
                ready.append(grid.ready_s)
        with running(home) as grid:
            words = (COMMAND, "run", "examples/hello.wat")
            subprocess.run(words, env=grid.environment, check=True, capture_output=True, cwd=ROOT)
            help_s = command_s("--help", environment=grid.environment)
            status_s = command_s("status", "last", environment=grid.environment)
    show(
        "start-up",
        [
            ("up ready, empty home", f"{ready[0]:.2f} s"),
            (f"up ready, again (median of {STARTS - 1})", f"{statistics.median(ready[1:]):.2f} s"),
            (f"wasmgrid --help (median of {COMMANDS})", f"{help_s:.3f} s"),
            (f"wasmgrid status last (median of {COMMANDS})", f"{status_s:.3f} s"),
        ],
    )


if __name__ == "__main__":
    main()
