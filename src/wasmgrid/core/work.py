"""What a leader gives a worker to do, and what a worker says that it holds."""

from __future__ import annotations

import msgspec

from wasmgrid.core.job import Input, Lines, SourceRef, Stdin
from wasmgrid.core.limits import Limits
from wasmgrid.core.ranges import Run
from wasmgrid.core.resources import Resources

CHUNK_S = 0.05  # the work that travels together: long enough to hide the way, short enough to lose


class RunWork(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """What a worker needs to run a chunk, tasks `first` .. `first + count - 1` of one job, one after the other.

    All is here but the blobs, which it fetches by digest. `array`: the job is one, so the index is in the guest's
    environment and in `{index}`. `lines` gives each task its line. `function`: call it instead of running the program,
    in an instance that calls share unless `isolate`. `slice_s` is how much work a chunk is meant to be: when one task
    outlives two of these, the unstarted rest goes back. `need` is what the assignment takes of the worker's capacity,
    `gpus` the indexes of the GPUs that are its own, `tenant` the boundary of runner reuse.
    """

    job_id: int
    first: int = 0
    count: int = 1
    tenant: str
    module_sha256: str
    need: Resources
    limits: Limits
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: Stdin | None = None
    inputs: list[Input] = []
    gpus: list[int] = []
    array: bool = False
    lines: Lines | None = None
    function: str | None = None
    isolate: bool = False
    slice_s: float = CHUNK_S


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
    """An attempt that a worker holds: of a build, or of the `count` tasks of a job from `index` on.

    `rest` are those of several tasks whose results are not acknowledged yet. `running` is the task that runs now (of a
    worker that died: that ran when it did). `phase`: fetching, precompiling, starting, running, finished (not yet
    acknowledged) or died (the agent died while it ran; told after its restart).
    """

    attempt: int
    kind: str  # run | build
    id: int
    index: int = 0
    phase: str = "starting"
    detail: str = ""  # for people: what a long phase is busy with
    started_at: float | None = None  # seconds since 1970, the worker's clock; for people
    gpus: list[int] = []
    count: int = 1
    rest: list[Run] = []
    running: int | None = None
