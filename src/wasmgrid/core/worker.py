"""What a worker says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.resources import Resources

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(:([2-9]|[1-9][0-9]{1,3}))?")
_WORD = re.compile(r"[a-z]+[0-9]*[a-z]*|[0-9]+[a-z]*")


class Toolchain(msgspec.Struct, frozen=True, kw_only=True):
    """A toolchain that a worker has (`ready`) or can install on first use.

    `identity` decides build keys: it changes whenever the same source might give another module. `download_mb` and
    `install_s` are estimates for the message shown before an installation.
    """

    language: str
    identity: str
    version: str
    ready: bool
    download_mb: int = 0
    install_s: int = 0


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU of a worker: its index there, its name as the driver gives it, its memory.

    `simulated`: stated, not found; such GPUs are matched and assigned like any other.
    """

    index: int
    model: str
    memory_mb: int
    simulated: bool = False


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has ready: precompiled modules and their bytes on its disk."""

    modules: int = 0
    bytes: int = 0


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it joins. `incarnation` is new at every start, so that two lives of one id are told apart.

    `capacity.gpus` is the number of `gpus`.
    """

    id: str
    incarnation: str
    version: str
    capacity: Resources
    gpus: list[Gpu] = []
    labels: dict[str, str] = {}
    toolchains: list[Toolchain] = []
    builds_only: bool = False
    hostname: str = ""
    pid: int = 0


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as JSON. `state` is joined, draining, cordoned, quarantined or unheard; `used` is what its tasks take.

    `gpus_used` are the indexes of the GPUs that are taken, `silent_s` is how long ago its last word came, `remaining_s`
    how long it still stays (None: for ever), `note` why it takes no new tasks.
    """

    id: str
    state: str
    labels: dict[str, str]
    capacity: Resources
    used: Resources
    running: list[str]
    toolchains: list[Toolchain]
    builds_only: bool
    hostname: str
    version: str
    silent_s: float | None
    gpus: list[Gpu] = []
    gpus_used: list[int] = []
    cache: Cache = Cache()
    remaining_s: float | None = None
    note: str = ""


def check_id(text: str, *, field: str) -> str:
    """`text` where it may be an id (it becomes part of NATS subjects and paths), else `InvalidField`."""
    if _ID.fullmatch(text) is None:
        raise InvalidField(f"{text!r} is not an id: letters, digits, - and _, at most 63", field=field)
    return text


def check_worker_id(text: str, *, field: str) -> str:
    """`text` where it may be a worker's id: `NAME`, or `NAME:K` for the K-th (2..9999) worker of one credential."""
    if _WORKER_ID.fullmatch(text) is None:
        raise InvalidField(f"{text!r} is not a worker's id: NAME or NAME:K, letters, digits, - and _", field=field)
    return text


def gpu_matches(gpu: Gpu, *, model: str | None, memory_mb: int) -> bool:
    """Whether the GPU has that memory, and every word of `model` in its name: H100 is an "NVIDIA H100 80GB HBM3"."""
    if gpu.memory_mb < memory_mb:
        return False
    return model is None or set(_WORD.findall(model.lower())) <= set(_WORD.findall(gpu.model.lower()))


def check_labels(labels: Mapping[str, str], *, field: str) -> None:
    """Raise `InvalidField` unless every key and value is an id."""
    for key, value in labels.items():
        check_id(key, field=field)
        check_id(value, field=f"{field}.{key}")
