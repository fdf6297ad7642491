"""What this machine can offer: its cpus, memory and disk as its control groups allow them, never over-committed."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import shutil
from pathlib import Path

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.limits import DEFAULT_DISK_MB, MB
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import check_id

_CGROUPS = Path("/sys/fs/cgroup")
_SLOTS_PER_CPU = 2
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_UNLIMITED = 1 << 60  # v1 says "no limit" with a number near 2^63


def probe(directory: Path, *, sized_scratch: bool, reserved_mb: int = 0) -> Resources:
    """The capacity to offer. `reserved_mb` of memory is kept back (a precompilation); `directory` is where files go.

    A sized scratch (`Confinement.sized_scratch`) is a tmpfs and lives in memory, which is then divided between
    `memory_mb` and `disk_mb` so that both may be used up at once: a quarter for the scratch, a third on small machines,
    where a quarter would not hold what a task asks for by default. Else three quarters of the free disk are offered.
    """
    milli_cpus = cpus_milli()
    memory_mb = max(2, memory_bytes() // MB - reserved_mb)
    free_mb = shutil.disk_usage(_existing(directory)).free // MB
    scratch_mb = max(memory_mb // 4, min(2 * DEFAULT_DISK_MB, memory_mb // 3))
    return Resources(
        milli_cpus=milli_cpus,
        memory_mb=memory_mb - scratch_mb if sized_scratch else memory_mb * 3 // 4,
        disk_mb=scratch_mb if sized_scratch else free_mb * 3 // 4,
        slots=max(_SLOTS_PER_CPU, _SLOTS_PER_CPU * milli_cpus // 1000),
    )


def labels(hostname: str) -> dict[str, str]:
    """What a worker says of its machine unasked; `host` is the first part of its name, where that may be a label."""
    machine = platform.machine().lower()
    found = {"arch": _ARCHITECTURES.get(machine, machine), "os": platform.system().lower()}
    with contextlib.suppress(InvalidField):
        found["host"] = check_id(hostname.partition(".")[0], field="host")
    return found


def cpus_milli() -> int:
    """Cpus that this process may use, in thousandths: its affinity, and the quotas of the groups that it is in."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_v2_quota(group / "cpu.max") for group in _own_groups(None)]
    quotas += [_v1_quota(group) for group in _own_groups("cpu")]
    return min([count * 1000, *(quota for quota in quotas if quota is not None)])


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or the least limit of the groups that it is in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_number(group / "memory.max") for group in _own_groups(None)]
    limits += [_number(group / "memory.limit_in_bytes") for group in _own_groups("memory")]
    return min([total, *(limit for limit in limits if limit is not None and limit < _UNLIMITED)])


def _own_groups(controller: str | None) -> list[Path]:
    """The group of this process and all above it, of a v1 controller or (None) of the v2 hierarchy."""
    groups: list[Path] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            mine = names == "" if controller is None else controller in names.split(",")
            if mine:
                top = _CGROUPS / names
                leaf = top / path.lstrip("/")
                groups += [place for place in (leaf, *leaf.parents) if place.is_relative_to(top)]
    return groups


def _v2_quota(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = path.read_text().split()
        if quota != "max":
            return math.ceil(int(quota) * 1000 / int(period))
    return None


def _v1_quota(group: Path) -> int | None:
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return math.ceil(quota * 1000 / period) if quota is not None and period and quota > 0 else None


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())
