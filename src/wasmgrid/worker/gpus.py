"""The GPUs that a worker offers: those that NVIDIA's driver lists, and simulated ones that were stated.

A guest cannot use a GPU yet. Until it can, a task that asks for one has it to itself, and is told which by environment.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import pynvml
import structlog
from msgspec.structs import replace

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.limits import MB
from wasmgrid.core.worker import Gpu

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"  # what Slurm and people hand GPUs to a process with; NVML itself ignores it
INDEXES_VARIABLE, MODEL_VARIABLE = "WASMGRID_GPUS", "WASMGRID_GPU_MODEL"
STATED_MEMORY_MB = 16384  # of a simulated GPU whose memory was not stated
MIXED = "mixed"
_LONGEST_LABEL = 63
_DIGITS = 10
_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")

log = structlog.get_logger()


def found(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The whole GPUs of this machine that `environment` leaves visible; empty, and silent, where there is no driver.

    One that is cut into MIG instances is not offered: who cut it uses the parts.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        gpus = [_found(index, environment.get(VISIBLE_VARIABLE)) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        log.warning("the GPUs could not be listed", error=str(error))
        return []
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return [gpu for gpu in gpus if gpu is not None]


def simulated(texts: Iterable[str], *, first: int = 0) -> list[Gpu]:
    """GPUs stated as `MODEL[:MEMORY_MB]`, numbered from `first`; raises `InvalidField`."""
    return [_simulated(text, index) for index, text in enumerate(texts, first)]


def offered(there: Sequence[Gpu], stated: Sequence[Gpu], count: int | None) -> list[Gpu]:
    """What a worker offers: the GPUs that are there, then the stated ones, of all these the first `count`.

    Raises `InvalidField` where `count` is more than there are.
    """
    after = max((gpu.index for gpu in there), default=-1) + 1
    every = [*there, *(replace(gpu, index=index, simulated=True) for index, gpu in enumerate(stated, after))]
    if count is not None and not 0 <= count <= len(every):
        raise InvalidField(
            f"this machine has {len(every)} GPUs, so {count} cannot be offered; "
            "simulated ones are stated with --gpu MODEL:MEMORY_MB",
            field="gpus",
        )
    return every[:count]


def labels(gpus: Sequence[Gpu]) -> dict[str, str]:
    """What jobs may require: `gpu`, the model as an id (`mixed` where there are several), and the least memory."""
    if not gpus:
        return {}
    models = {gpu.model for gpu in gpus}
    model = _NO_ID.sub("-", models.pop()).strip("-_")[:_LONGEST_LABEL] if len(models) == 1 else MIXED
    return {"gpu": model or "unknown", "gpu_memory_mb": str(min(gpu.memory_mb for gpu in gpus))}


def environment(asked: Mapping[str, str], mine: Sequence[int], gpus: Sequence[Gpu]) -> dict[str, str]:
    """A guest's environment: what was asked for, and the GPUs that are its own, of which a job cannot say other things.

    `mine` are indexes into the worker's `gpus`. Without any, neither variable is there.
    """
    told = {name: text for name, text in asked.items() if name not in {INDEXES_VARIABLE, MODEL_VARIABLE}}
    if mine:
        models = {gpu.index: gpu.model for gpu in gpus}
        told[INDEXES_VARIABLE] = ",".join(map(str, sorted(mine)))
        told[MODEL_VARIABLE] = ",".join(dict.fromkeys(models.get(index, "") for index in sorted(mine)))
    return told


def _found(index: int, visible: str | None) -> Gpu | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        if _is_cut(handle) or not is_visible(visible, index, pynvml.nvmlDeviceGetUUID(handle)):
            return None
        return Gpu(index=index, model=pynvml.nvmlDeviceGetName(handle), memory_mb=_memory_mb(handle))
    except pynvml.NVMLError as error:  # fallen off the bus, or not ours to see
        log.warning("a GPU is left out", index=index, error=str(error))
        return None


def is_visible(visible: str | None, index: int, uuid: str) -> bool:
    """Whether CUDA_VISIBLE_DEVICES (None: not set) names this GPU, by index or by (the beginning of) its uuid."""
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",")]
    return str(index) in names or any(name.startswith("GPU-") and uuid.startswith(name) for name in names)


def _is_cut(handle: object) -> bool:
    with contextlib.suppress(pynvml.NVMLError):  # most models know no MIG
        current, _pending = pynvml.nvmlDeviceGetMigMode(handle)
        return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)
    return False


def _memory_mb(handle: object) -> int:
    with contextlib.suppress(pynvml.NVMLError):
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) // MB
    return 0  # it shares the machine's


def _simulated(text: str, index: int) -> Gpu:
    model, colon, memory = text.strip().rpartition(":")
    if not colon:
        model, memory = memory, str(STATED_MEMORY_MB)
    sane = model.strip() and model.isprintable() and len(model) <= _LONGEST_LABEL
    if not (sane and memory.isascii() and memory.isdigit() and len(memory) < _DIGITS):
        raise InvalidField(f"{text!r} is not a GPU: MODEL or MODEL:MEMORY_MB, as in H100:81559", field="gpu")
    return Gpu(index=index, model=model.strip(), memory_mb=int(memory), simulated=True)
