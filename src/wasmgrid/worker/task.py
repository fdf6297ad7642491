"""What the agent hands to its runners, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from wasmgrid.core.job import Input, Stats
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome
from wasmgrid.core.work import CHUNK_S
from wasmgrid.worker.bundles import PreparedBundle

TaskKey = tuple[int, int]
"""(attempt id, task index): what names a task among the runners of one agent."""


class PreparedModule(msgspec.Struct, frozen=True, kw_only=True):
    """A module that runners can load at once: the file that `ModuleCache` compiled and still vouches for.

    `sha256` is the digest of the .wasm, `path` the precompiled file, `metered` whether it counts fuel. `bundle`: it is
    one, and `path` is its interpreter's.
    """

    sha256: str
    path: Path
    metered: bool = False
    fetch_ms: float = 0.0
    precompile_ms: float = 0.0
    module_cached: bool = False
    precompile_cached: bool = False
    bundle: PreparedBundle | None = None


class Tasks(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks `first` .. `first + count - 1` of one job: what they share, and what sets each apart.

    `args` and `stdin` (bytes, or a file that holds them) are every task's. `lines`, where there are any, has `count`
    lines with a line feed between them: the task `first` gets the first one, as what `use` says (`core.job.Lines`). The
    runner fills in the templates of `args`, so that a chunk costs what its lines do.
    """

    first: int = 0
    count: int = 1
    args: list[str] = []
    stdin: bytes | Path = b""
    lines: bytes | None = None
    use: str = "stdin"


class RunnerChunk(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt at several tasks, run one after the other: nothing in it is still to be fetched.

    `array`: the job is one: `{index}` and `{line}` in args are templates, and the index is in the environment.
    `function`: call it for each task, in an instance that the calls share unless `isolate`. `hold_s`: how long a
    result may wait for those after it.
    """

    attempt: int
    job_id: int
    tenant: str
    module: PreparedModule
    limits: Limits
    milli_cpus: int = 1000
    env: dict[str, str] = {}
    inputs: list[tuple[Input, Path]] = []
    array: bool = False
    function: str | None = None
    isolate: bool = False
    hold_s: float = CHUNK_S
    tasks: Tasks = Tasks()


class OutputFile(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of a finished attempt.

    `data` is all that was kept, or its first `core.job.INLINE_BYTES` where `path` holds the whole; `size` counts the
    kept bytes; `truncated` says that the guest wrote more, and `tail` is the end (at most 4 KiB) of that.
    """

    data: bytes = b""
    size: int = 0
    truncated: bool = False
    path: Path | None = None
    tail: bytes = b""


class ArtifactFile(msgspec.Struct, frozen=True, kw_only=True):
    """A regular file that the guest left in `/out`: its path there, its copy on this machine, its size."""

    path: str
    local: Path
    bytes: int


class RunnerReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended. Its files stay until `Runners.release`.

    `crashed`: the runner died under it (a signal, an abort), which says nothing about the guest; `outcome` is then
    `lost` with the signal's name. `stats` has what the runner measured; queue, build, fetch and precompile are the
    agent's to fill in. `return_value`: the JSON that a function gave. Times are seconds since 1970.
    """

    attempt: int
    index: int
    outcome: Outcome
    stdout: OutputFile = OutputFile()
    stderr: OutputFile = OutputFile()
    artifacts: list[ArtifactFile] = []
    stats: Stats = Stats()
    crashed: bool = False
    started_at: float = 0.0
    finished_at: float = 0.0
    return_value: str | None = None


class RangeReport(msgspec.Struct, frozen=True, kw_only=True):
    """Calls for the tasks `first` .. `first + count - 1` that all returned and printed nothing.

    `values`: the JSON of what each returned, one a line, as in `core.results.TaskRange`. `stats`: one call's, averaged.
    `started_at` is the first one's, `finished_at` the last one's.
    """

    attempt: int
    first: int
    count: int
    values: bytes
    stats: Stats = Stats()
    started_at: float = 0.0
    finished_at: float = 0.0


OnResults = Callable[[list[RunnerReport], list[RangeReport]], None]
"""Told on the event loop, within the chunk's `hold_s` of their end, many at a time."""


class Current(msgspec.Struct, frozen=True):
    """The task of a chunk that runs now, and since when (monotonic, this machine's clock)."""

    index: int
    started: float
