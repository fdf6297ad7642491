"""What one build may use. Its memory is what `scheduling.shape.build_shape` reserves of a worker."""

from __future__ import annotations

import msgspec

from wasmgrid.core.limits import MB
from wasmgrid.scheduling.shape import BUILD_MEMORY_MB, BUILD_TEMP_MB


class BuildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The caps of one build, over all its processes together but for `file_mb` (each file it writes).

    `cpu_s` is the one that a heavy source meets: unlike `wall_s` it does not depend on how busy the machine is.
    `disk_mb` and `files` bound the work directory, `temp_mb` the in-memory /tmp, `diagnostics_bytes` what is kept of
    what the compiler says, `module_bytes` what it may give.
    """

    cpu_s: float = 60.0
    wall_s: float = 180.0
    memory_mb: int = BUILD_MEMORY_MB
    processes: int = 512
    file_mb: int = 256
    disk_mb: int = 1024
    files: int = 50_000
    temp_mb: int = BUILD_TEMP_MB
    diagnostics_bytes: int = 64 * 1024
    module_bytes: int = 128 * MB
