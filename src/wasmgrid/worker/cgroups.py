"""Cpu caps below one cpu, held by the kernel where a cgroup is writable (v1 and v2).

A guest has one thread, so more than one cpu needs no cap: it cannot use more.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_TELLS = {True: "cgroup.controllers", False: "cpu.cfs_quota_us"}  # a file that a real group has
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1000  # the kernel's own minimum
_LONGEST_PERIOD_US = 1_000_000


class CpuCaps:
    """One group per runner, under a group of this agent. Every call is a few writes to /sys."""

    def __init__(self, top: Path, *, unified: bool) -> None:
        self._top = top
        self._unified = unified
        self._capped: dict[int, int] = {}

    @classmethod
    def probe(cls) -> CpuCaps | None:
        """Caps under a group of this process's own, or None where the machine does not allow any."""
        for place, unified in _places():
            _sweep(place)
            top = place / f"wasmgrid-{os.getpid()}-{secrets.token_hex(4)}"
            try:
                top.mkdir()
                if unified:
                    _set(place / "cgroup.subtree_control", "+cpu")
                    _set(top / "cgroup.subtree_control", "+cpu")
                caps = cls(top, unified=unified)
                caps._make(0)
                caps.forget(0)
            except OSError:
                with contextlib.suppress(OSError):
                    top.rmdir()
                continue
            return caps
        return None

    def hold(self, number: int, pid: int, milli_cpus: int) -> bool:
        """Cap runner `number` (process `pid`) to `milli_cpus`, or lift its cap from 1000 on; whether one holds now."""
        wanted = min(1000, milli_cpus)
        before = self._capped.get(number)
        if before == wanted or (before is None and wanted == 1000):
            return wanted < 1000
        try:
            if before is None:
                self._make(number)
                _set(self._group(number) / "cgroup.procs", str(pid))
            self._write(number, wanted)
        except OSError:
            return False
        self._capped[number] = wanted
        return wanted < 1000

    def forget(self, number: int) -> None:
        """The runner is gone: so is its group."""
        self._capped.pop(number, None)
        with contextlib.suppress(OSError):
            self._group(number).rmdir()

    def close(self) -> None:
        """Remove the groups; runners must be gone."""
        for number in list(self._capped):
            self.forget(number)
        with contextlib.suppress(OSError):
            self._top.rmdir()

    def _group(self, number: int) -> Path:
        return self._top / f"r{number}"

    def _make(self, number: int) -> None:
        self._group(number).mkdir(exist_ok=True)
        self._write(number, 1000)

    def _write(self, number: int, milli_cpus: int) -> None:
        group = self._group(number)
        if milli_cpus >= 1000:
            quota, period = None, _PERIOD_US
        else:
            quota = max(_LEAST_QUOTA_US, milli_cpus * _PERIOD_US // 1000)
            period = min(_LONGEST_PERIOD_US, max(_PERIOD_US, quota * 1000 // milli_cpus))
        if self._unified:
            _set(group / "cpu.max", f"{'max' if quota is None else quota} {period}")
        else:
            _set(group / "cpu.cfs_period_us", str(period))
            _set(group / "cpu.cfs_quota_us", str(-1 if quota is None else quota))


def _set(path: Path, text: str) -> None:
    with path.open("r+") as file:  # never creates one
        file.write(text)


def _sweep(place: Path) -> None:
    """Remove groups of agents that were killed; the kernel refuses where one still has processes."""
    for top in place.glob("wasmgrid-*"):
        pid = top.name.split("-")[1]
        if pid.isdigit() and not Path("/proc", pid).exists():
            for group in (*top.glob("r*"), top):
                with contextlib.suppress(OSError):
                    group.rmdir()


def _places() -> list[tuple[Path, bool]]:
    """The groups that this process is in which could have a cpu controller; v1's first, where both are mounted."""
    places: list[tuple[Path, bool]] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(","):
                places.insert(0, (_MOUNT / controllers / path.lstrip("/"), False))
            elif not controllers:
                places += [(_MOUNT / path.lstrip("/"), True), (_MOUNT / "unified" / path.lstrip("/"), True)]
    # A directory where nothing is mounted can be written to as well, and holds nothing back.
    return [(place, unified) for place, unified in places if (place / _TELLS[unified]).exists()]
