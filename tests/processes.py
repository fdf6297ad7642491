"""Processes as tests look at them: through psutil, as a minimal machine has no `ps`."""

from __future__ import annotations

import contextlib

import psutil


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def children(pid: int, *, recursive: bool = False) -> dict[int, str]:
    """Every running process that `pid` started (or, `recursive`, any below it), with its command."""
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid).children(recursive=recursive)
        return {each.pid: command(each.pid) for each in found if runs(each.pid)}
    return {}


def command(pid: int) -> str:
    """A process's command line; empty where it is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def shown() -> str:
    """The arguments and the environment of every process that may be looked at."""
    seen: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            seen += process.cmdline()
            seen += process.environ().values()
    return "\n".join(seen)
