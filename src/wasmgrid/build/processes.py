"""What a process and everything below it use, read from /proc.

A child whose parent died stays in the tree: it belongs to the sandbox's first process from then on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of a whole tree: CPU seconds of the living and of the dead that were waited for, private memory, its size."""

    cpu_s: float
    memory_bytes: int
    processes: int


def usage(pid: int) -> Usage:
    """What the tree below and with `pid` uses now; zeros once it is gone."""
    cpu = memory = count = 0
    for each in tree(pid):
        try:
            with open(f"/proc/{each}/stat", "rb") as file:  # noqa: PTH123 - read ten times a second
                fields = file.read().rpartition(b")")[2].split()
            with open(f"/proc/{each}/statm", "rb") as file:  # noqa: PTH123
                pages = file.read().split()
        except OSError:  # it ended meanwhile
            continue
        cpu += sum(int(field) for field in fields[11:15])  # utime, stime, and those of its waited-for children
        memory += max(0, int(pages[1]) - int(pages[2]))  # resident but not shared with a file
        count += 1
    return Usage(cpu_s=cpu / _TICKS, memory_bytes=memory * _PAGE, processes=count)


def tree(pid: int) -> list[int]:
    """`pid` and every living process below it."""
    found = [pid]
    for each in found:  # grows while it is walked
        try:
            threads = os.listdir(f"/proc/{each}/task")  # noqa: PTH208
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{each}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                    found += [int(child) for child in file.read().split()]
            except OSError:
                continue
    return found


def wait_gone(pids: Sequence[int], timeout_s: float) -> None:
    """Wait until none of `pids` lives any more (they have been killed), at most `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)


def processes_of(uid: int) -> int:
    """Threads that a user has now: the kernel's limit on processes counts these."""
    count = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid:  # noqa: PTH116
                    count += len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208
            except OSError:
                continue
    return count
