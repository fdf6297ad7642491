"""CPU time and memory of a process and all below it, from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import psutil

MB = 1 << 20


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it; none where it is gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """Seconds that the tree has used so far, also in those that it reaped: of use as a difference of two."""
    return sum(by_process(pid).values())


def by_process(pid: int) -> dict[str, float]:
    """Seconds of the tree's processes so far, by what they are: a module, or a program's name."""
    used: dict[str, float] = {}
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            times, what = process.cpu_times(), name(process)
            own = times.user + times.system + times.children_user + times.children_system
            used[what] = used.get(what, 0.0) + own
    return used


def each_us(pid: int, before: dict[str, float], count: int) -> dict[str, float]:
    """Microseconds of each of `count` things since `before`, an earlier `by_process`; `all` is their sum."""
    parts = {name: (used - before.get(name, 0.0)) / count * 1e6 for name, used in by_process(pid).items()}
    return {**parts, "all": sum(parts.values())}


def rss_mb(pid: int) -> float:
    """Resident memory of the tree, shared pages counted in each process."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / MB


def kill(processes: Sequence[psutil.Process]) -> None:
    """End at once what is left of them, and wait until all are gone."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def name(process: psutil.Process) -> str:
    """What a process is: the module that it runs, or its program's name."""
    words = process.cmdline()
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    return process.name()
