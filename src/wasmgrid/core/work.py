"""What a leader gives a worker to do, and what a worker says that it holds."""

from __future__ import annotations

import msgspec

from wasmgrid.core.job import Input, SourceRef, Stdin
from wasmgrid.core.limits import Limits
from wasmgrid.core.resources import Resources


class RunWork(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """What a worker needs to run tasks of one job: everything but the blobs, which it fetches by digest.

    `need` is what the assignment takes of the worker's capacity, `gpus` the indexes of the GPUs that are its own,
    `tenant` the boundary of runner reuse.
    """

    job_id: int
    indexes: list[int]
    tenant: str
    module_sha256: str
    need: Resources
    limits: Limits
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: Stdin | None = None
    inputs: list[Input] = []
    gpus: list[int] = []


class BuildWork(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """What a worker needs to build one source. `toolchain` is the identity that the build key was made with."""

    build_id: int
    build_key: str
    source: SourceRef
    toolchain: str
    need: Resources
    install: bool = True


Work = RunWork | BuildWork


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a worker holds.

    `phase`: fetching, precompiling, starting, running, finished (not yet acknowledged) or died (the agent died while it
    ran; told after its restart).
    """

    attempt: int
    kind: str  # run | build
    id: int
    index: int = 0
    phase: str = "starting"
    detail: str = ""  # for people: what a long phase is busy with
    started_at: float | None = None  # seconds since 1970, the worker's clock; for people
    gpus: list[int] = []
