"""What one build may use, and what it takes of a worker while it runs."""

from __future__ import annotations

import msgspec

from wasmgrid.core.limits import MB
from wasmgrid.core.resources import Resources


class BuildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The caps of one build, over all its processes together but for `file_mb` (each file it writes).

    `cpu_s` is the one that a heavy source meets: unlike `wall_s` it does not depend on how busy the machine is.
    `disk_mb` and `files` bound the work directory, `temp_mb` the in-memory /tmp, `diagnostics_bytes` what is kept of
    what the compiler says, `module_bytes` what it may give.
    """

    cpu_s: float = 60.0
    wall_s: float = 180.0
    memory_mb: int = 2048
    processes: int = 512
    file_mb: int = 256
    disk_mb: int = 1024
    files: int = 50_000
    temp_mb: int = 256
    diagnostics_bytes: int = 64 * 1024
    module_bytes: int = 128 * MB


# What a build reserves of a worker where nobody says otherwise.
BUILD_NEED = Resources(milli_cpus=1000, memory_mb=BuildLimits().memory_mb, disk_mb=BuildLimits().disk_mb, slots=1)
