"""The machine: Python, limits, clock, disk, and what its kernel offers to hold programs with."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wasmgrid.cli.checks.check import Check, fail, ok, warn
from wasmgrid.core.limits import MB
from wasmgrid.core.units import format_bytes
from wasmgrid.home import HOME_VARIABLE, Home

LOW_DISK_MB, NO_DISK_MB = 4096, 512
FEW_FILES, TOO_FEW_FILES = 4096, 512
RELEASED_AT = 1_767_225_600.0  # 2026: a clock before that is wrong
_LANDLOCK_CREATE = 444
_SYSCTL = Path("/proc/sys")


def python(name: str) -> Iterator[Check]:
    """Which Python, on what."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cpus"
    if sys.platform == "linux":
        yield ok(name, found)
    else:
        yield warn(name, found, "the client and ready .wasm work here; compile on Linux")


def limits(name: str) -> Iterator[Check]:
    """How many files a server may have open: each stream and each runner takes some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = "as many as wanted" if hard == resource.RLIM_INFINITY else f"{hard}"
    found, remedy = f"{allowed} open files", "raise it: ulimit -Hn 65536, or LimitNOFILE=65536 in the systemd unit"
    if hard != resource.RLIM_INFINITY and hard < TOO_FEW_FILES:
        yield fail(name, f"{found}: too few for a server with a worker", remedy)
    elif hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        yield warn(name, f"{found}: few streams can be followed at once", remedy)
    else:
        yield ok(name, found)


def clock(name: str) -> Iterator[Check]:
    """Certificates and people need a true one; leases do not."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < RELEASED_AT:
        yield fail(name, f"{shown} is in the past: no certificate is good yet", "set it: timedatectl set-ntp true")
    else:
        yield ok(name, shown)


def disk(name: str) -> Iterator[Check]:
    """Room where the home is, or will be."""
    path = Home.default().path
    existing = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    found = f"{format_bytes(free)} free for {path}"
    remedy = f"wasmgrid prune, or set ${HOME_VARIABLE} to a larger disk"
    if free < NO_DISK_MB * MB:
        yield fail(name, found, remedy)
    elif free < LOW_DISK_MB * MB:
        yield warn(name, found, remedy)
    else:
        yield ok(name, found)


def kernel(name: str) -> Iterator[Check]:
    """The means that sandboxes are made of, whichever are used."""
    if sys.platform != "linux":
        return
    forbidden = _forbids_namespaces()
    landlock = ctypes.CDLL(None, use_errno=True).syscall(_LANDLOCK_CREATE, None, 0, 1)
    seccomp = "Seccomp:" in Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    have = [
        "user namespaces" if not forbidden else "",
        f"landlock {landlock}" if landlock > 0 else "",
        "seccomp" if seccomp else "",
        "cgroup v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "",
    ]
    found = ", ".join(each for each in have if each) or "none of user namespaces, landlock, seccomp"
    if not seccomp or (forbidden and landlock <= 0):
        yield fail(
            name, f"{found}: compilers cannot be held", "use a kernel with user namespaces or Landlock, and seccomp"
        )
    elif forbidden:
        yield warn(name, f"{found}; no user namespaces: {forbidden}", f"allow them: sysctl {_REMEDIES[forbidden]}")
    else:
        yield ok(name, found)


_REMEDIES = {
    "kernel.unprivileged_userns_clone=0": "kernel.unprivileged_userns_clone=1",
    "user.max_user_namespaces=0": "user.max_user_namespaces=10000",
    "kernel.apparmor_restrict_unprivileged_userns=1": "kernel.apparmor_restrict_unprivileged_userns=0",
}


def _forbids_namespaces() -> str:
    """The setting that forbids user namespaces to this user; empty where none does."""
    for setting in _REMEDIES:
        key, _, value = setting.partition("=")
        if os.geteuid() == 0 and key != "user.max_user_namespaces":
            continue  # the others are about unprivileged users
        try:
            said = (_SYSCTL / key.replace(".", "/")).read_text(encoding="ascii").strip()
        except OSError:
            continue  # this kernel has no such setting
        if said == value:
            return setting
    return ""
