"""What every probe does and prints: first output, later ones, one long run, memory. Standard library only.

first_ms   from the module's bytes to its output, once: compiler and start together
start_us   the same when the module is known, a fresh instance each: median of many
run_ms     with the program's long arguments, start included
rss_mb     the most that the process held
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

STARTS, STARTS_S = 200, 1.0  # so many, or as many as there is time for


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def report(version: str, run: Callable[[list[str]], bytes]) -> None:
    """Measure `run`, which gives a program's output for its arguments, and which compiles when it is first called."""
    long = sys.argv[2:]
    short = ["0" for _ in long]
    began = time.perf_counter()
    expected = run(short)
    first_ms = (time.perf_counter() - began) * 1000
    took: list[float] = []
    until = time.perf_counter() + STARTS_S
    while not took or (len(took) < STARTS and time.perf_counter() < until):
        began = time.perf_counter()
        again = run(short)
        took.append((time.perf_counter() - began) * 1e6)
        if again != expected:
            raise RuntimeError(f"printed {again!r}, and {expected!r} before")
    began = time.perf_counter()
    output = run(long)
    run_ms = (time.perf_counter() - began) * 1000
    figures = {"first_ms": first_ms, "start_us": statistics.median(took), "run_ms": run_ms, "rss_mb": peak_mb()}
    print(json.dumps({"version": version, "output": output.decode(), **figures}))
