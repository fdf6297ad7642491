"""What an idle `up` holds in memory: every process that it started, summed."""

from __future__ import annotations

import subprocess
import time
from pathlib import PurePath

import psutil

from benchmarks.grid import COMMAND, ROOT, running, show, temporary_home

MB = 1 << 20
SETTLE_S = 5.0


def processes(pid: int) -> list[tuple[str, int, int]]:
    """(what it is, resident bytes, proportional bytes) of a process and all below it."""
    parent = psutil.Process(pid)
    found = []
    for process in [parent, *parent.children(recursive=True)]:
        memory = process.memory_full_info()
        words = [PurePath(word).name for word in process.cmdline() if not word.startswith("-")]
        found.append((" ".join(words[:3])[:48], memory.rss, getattr(memory, "pss", memory.rss)))
    return found


def main() -> None:
    """Measure a grid that has run nothing yet, and one that has run a job and rests."""
    with temporary_home() as home, running(home) as grid:
        time.sleep(SETTLE_S)
        fresh = processes(grid.process.pid)
        words = (COMMAND, "run", "examples/hello.wat")
        subprocess.run(words, env=grid.environment, check=True, capture_output=True, cwd=ROOT)
        time.sleep(SETTLE_S)
        used = processes(grid.process.pid)
    for title, found in (("memory of an idle up", fresh), ("memory after a job", used)):
        rows = [(name, f"{rss / MB:.0f} MB resident, {pss / MB:.0f} MB proportional") for name, rss, pss in found]
        total = f"{sum(each[1] for each in found) / MB:.0f} MB resident"
        show(title, [*rows, ("all", f"{total}, {sum(each[2] for each in found) / MB:.0f} MB proportional")])


if __name__ == "__main__":
    main()
