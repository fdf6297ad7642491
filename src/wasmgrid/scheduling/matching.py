"""Whether a worker could take a shape when it is idle, and why not. The one place that compares the two."""

from __future__ import annotations

import msgspec

from wasmgrid.core.resources import NAMES, Resources
from wasmgrid.core.worker import Gpu, WorkerInfo, gpu_matches
from wasmgrid.scheduling.shape import Shape


def mismatches(shape: Shape, info: WorkerInfo) -> list[str]:
    """Why the worker could not take `shape` even when idle; empty means it could."""
    reasons = [
        f"needs {amount(name, wanted)}, it has {amount(name, has)}"
        for name, wanted, has in compare(shape.need, info.capacity)
        if wanted > has
    ]
    return reasons + unsuitable(shape, info)


def unsuitable(shape: Shape, info: WorkerInfo) -> list[str]:
    """Why the worker is of the wrong sort for `shape`, whatever its size."""
    reasons = [
        f"needs the label {key}={value}, it has {key}={info.labels[key]}"
        if key in info.labels
        else f"needs the label {key}={value}, it has no {key}"
        for key, value in shape.require
        if info.labels.get(key) != value
    ]
    if shape.toolchain is None and info.builds_only:
        reasons.append("it only builds")
    if shape.toolchain and all(toolchain.identity != shape.toolchain for toolchain in info.toolchains):
        reasons.append(f"it has no toolchain {shape.toolchain}")
    matching = sum(may_use(shape, gpu) for gpu in info.gpus) if shape.need.gpus else 0
    if matching < min(shape.need.gpus, len(info.gpus)):
        reasons.append(f"needs {gpus_wanted(shape)}, it has {gpus_there(info.gpus)}")
    return reasons


def sort_of(shape: Shape) -> Shape:
    """What `unsuitable` looks at, and nothing else: shapes of one sort differ in amounts only."""
    need = Resources(gpus=shape.need.gpus)
    return msgspec.structs.replace(shape, need=need, prefer=(), time_limit_s=0.0)


def may_use(shape: Shape, gpu: Gpu) -> bool:
    """Whether this GPU is one that `shape` asks for."""
    return gpu_matches(gpu, model=shape.gpu_model, memory_mb=shape.gpu_memory_mb)


def compare(need: Resources, has: Resources) -> list[tuple[str, int, int]]:
    """(name, wanted, there) of each resource."""
    return [(name, getattr(need, name), getattr(has, name)) for name in NAMES]


def amount(name: str, value: int) -> str:
    """A resource's amount in words."""
    words = {"milli_cpus": "cpus", "memory_mb": "MB of memory", "disk_mb": "MB of disk", "gpus": "gpus"}
    many, unit = number(name, value), words.get(name, "runner slots")
    return f"{many} {unit.removesuffix('s') if many == '1' else unit}"


def number(name: str, value: int) -> str:
    """A resource's amount as its flag takes it."""
    return f"{value / 1000:g}" if name == "milli_cpus" else str(value)


def gpus_wanted(shape: Shape) -> str:
    """The GPUs that `shape` asks for, in words."""
    model = f" {shape.gpu_model}" if shape.gpu_model else ""
    memory = f" of {shape.gpu_memory_mb} MB" if shape.gpu_memory_mb else ""
    return f"{shape.need.gpus}{model} gpu{'s' if shape.need.gpus > 1 else ''}{memory}"


def gpus_there(gpus: list[Gpu]) -> str:
    """A worker's GPUs in words: 2 Tesla T4 of 15360 MB."""
    kinds: dict[tuple[str, int], int] = {}
    for gpu in gpus:
        kinds[gpu.model, gpu.memory_mb] = kinds.get((gpu.model, gpu.memory_mb), 0) + 1
    return ", ".join(f"{count} {model} of {memory_mb} MB" for (model, memory_mb), count in kinds.items())
