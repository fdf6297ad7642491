"""A memory cgroup for one compiler run, where this process may make one: then the cap on memory is exact.

Version 2: beside our own cgroup, where its parent delegates memory to us. Version 1: below our own in the memory
hierarchy. Where neither can be written there is none, and the caller's watch over the process tree bounds memory alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "wasmgrid-build-"


class MemoryGroup:
    """One cgroup with a cap; `procs` is the file that a process writes its id into to join."""

    def __init__(self, path: Path, *, version: int) -> None:
        self._path = path
        self._version = version
        self.procs = str(path / "cgroup.procs")

    @classmethod
    def make(cls, limit_bytes: int) -> MemoryGroup | None:
        """A new group capped at `limit_bytes`, or None where this machine does not let us."""
        for version, base in _bases():
            path = base / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            try:
                path.mkdir()
            except OSError:
                continue
            group = cls(path, version=version)
            try:
                group._limit(limit_bytes)
            except OSError:
                group.remove()
                continue
            return group
        return None

    def _limit(self, limit_bytes: int) -> None:
        names = ("memory.max",) if self._version == 2 else ("memory.limit_in_bytes",)
        for name in names:
            (self._path / name).write_text(str(limit_bytes))
        for name in ("memory.swap.max", "memory.memsw.limit_in_bytes"):  # where the kernel accounts swap
            with contextlib.suppress(OSError):
                (self._path / name).write_text("0" if self._version == 2 else str(limit_bytes))

    def killed(self) -> bool:
        """Whether the kernel ended a process here because of the cap."""
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        with contextlib.suppress(OSError):
            found = re.search(r"^oom_kill (\d+)", (self._path / name).read_text(), re.MULTILINE)
            return found is not None and int(found[1]) > 0
        return False

    def remove(self) -> None:
        """Remove the group; its processes have ended."""
        with contextlib.suppress(OSError):
            self._path.rmdir()


def sweep() -> None:
    """Remove the groups of processes that are gone (an agent that was killed leaves empty ones)."""
    for _, base in _bases():
        for path in base.glob(f"{_PREFIX}*"):
            pid = path.name.removeprefix(_PREFIX).partition("-")[0]
            if not Path(f"/proc/{pid}").exists():
                with contextlib.suppress(OSError):
                    path.rmdir()


def _bases() -> list[tuple[int, Path]]:
    """(version, directory) pairs below which a group with a memory cap could be made."""
    try:
        own = Path("/proc/self/cgroup").read_text()
    except OSError:
        return []
    bases: list[tuple[int, Path]] = []
    for line in own.splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers == "memory":
            bases.append((1, _ROOT / "memory" / name.lstrip("/")))
        elif controllers == "":
            parent = (_ROOT / name.lstrip("/")).parent if name != "/" else _ROOT
            with contextlib.suppress(OSError):
                if "memory" in (parent / "cgroup.subtree_control").read_text().split():
                    bases.append((2, parent))
    return bases
