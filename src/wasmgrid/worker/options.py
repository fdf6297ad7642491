"""What a worker is asked for, and whether it can be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.resources import Resources, milli
from wasmgrid.core.worker import Gpu, check_labels
from wasmgrid.home import Home

DRAIN_S = 20.0  # what Kubernetes, systemd and Slurm wait before they kill is 30 s and more
_LEAST = {"cpus": 0.001, "memory_mb": 2, "disk_mb": 0, "slots": 1, "until_s": 0.001, "drain_s": 0.0}
_MOST = {"cpus": 1e6, "memory_mb": 1e9, "disk_mb": 1e9, "slots": 1e6}
_MADE_OF_GPUS = ("gpu", "gpu_memory_mb")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What `wasmgrid worker` was asked for. What is None is probed; an id is then the first free one.

    `join`: the fabric's URL (several comma-separated), else the credential's own, else that of this home's grid.
    `credential`: the file, or "-" for stdin. `gpus` are simulated ones, offered beside those that are there;
    `gpu_count` offers no more than so many. `until_s`: it drains and has ended after so many seconds. `drain_s`: how
    long what runs may go on after a signal; then it is given back. `tell` hears what the person who started it should;
    without it, what matters of that is logged.
    """

    home: Home
    worker_id: str | None = None
    join: str | None = None
    credential: Path | str | None = None
    cpus: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: list[Gpu] = field(default_factory=list)
    gpu_count: int | None = None
    slots: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    unsandboxed_builds: bool = False
    builds_only: bool = False
    until_s: float | None = None
    drain_s: float = DRAIN_S
    verbose: bool = False
    log_format: str = "text"  # or json
    tell: Callable[[str], None] | None = None


def check(options: WorkerOptions) -> None:
    """Raise `InvalidField` where something was stated that cannot be."""
    check_labels(options.labels, field="labels")
    for key in _MADE_OF_GPUS:
        if key in options.labels:
            _refuse(f"labels.{key}", f"the label {key} is made of the GPUs; state one with --gpu MODEL:MEMORY_MB")
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value is None:
            continue
        if not value >= least:
            _refuse(name, f"{name.removesuffix('_s')} cannot be {value:g}, {least:g} is the least")
        if not (math.isfinite(value) and value <= _MOST.get(name, value)):
            _refuse(name, f"{name.removesuffix('_s')} cannot be {value:g}, {_MOST.get(name, 1e9):.0f} is the most")


def stated(options: WorkerOptions, probed: Resources, gpus: int) -> Resources:
    """The probed capacity, but for what was stated, with so many GPUs."""
    cpus = None if options.cpus is None else milli(options.cpus)
    said = {
        "milli_cpus": cpus,
        "memory_mb": options.memory_mb,
        "disk_mb": options.disk_mb,
        "gpus": gpus,
        "slots": options.slots if options.slots is not None else cpus and max(2, 2 * cpus // 1000),
    }
    return replace(probed, **{name: value for name, value in said.items() if value is not None})


def _refuse(name: str, message: str) -> NoReturn:
    raise InvalidField(message, field=name)
