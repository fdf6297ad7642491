"""All that matching looks at. Tasks of one shape are matched together: a queue costs what its shapes cost."""

from __future__ import annotations

import msgspec

from wasmgrid.core.job import StoredSpec
from wasmgrid.core.limits import DEFAULT_TIME_LIMIT_S
from wasmgrid.core.resources import Resources, milli

BUILD_MEMORY_MB = 1536  # all of a build's processes together; a worker of 4 GB has room for one
BUILD_TEMP_MB = 256  # its /tmp, which is memory, as a task's scratch is

Pairs = tuple[tuple[str, str], ...]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a task needs of a worker.

    `require` are labels that it must have, `prefer` labels that rank it higher, `toolchain` the identity that a build
    needs (None for a run, which a worker that only builds does not take). Each of its GPUs has `gpu_memory_mb` and
    every word of `gpu_model` in its name. It runs for `time_limit_s` at most.
    """

    need: Resources
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    require: Pairs = ()
    prefer: Pairs = ()
    toolchain: str | None = None


def run_shape(spec: StoredSpec) -> Shape:
    """The shape of every task of a job."""
    need = Resources(
        milli_cpus=milli(spec.cpus), memory_mb=spec.memory_mb, disk_mb=spec.disk_mb, gpus=spec.gpus, slots=1
    )
    return Shape(
        need=need,
        time_limit_s=spec.time_limit_s,
        gpu_model=spec.gpu_model,
        gpu_memory_mb=spec.gpu_memory_mb,
        require=tuple(sorted(spec.require.items())),
        prefer=tuple(sorted(spec.prefer.items())),
    )


def build_shape(toolchain: str) -> Shape:
    """The shape of a build: one cpu and all the memory that it may use, on a worker with that toolchain."""
    need = Resources(milli_cpus=1000, memory_mb=BUILD_MEMORY_MB, disk_mb=BUILD_TEMP_MB, slots=1)
    return Shape(need=need, toolchain=toolchain)
