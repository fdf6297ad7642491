"""What the agent hands to its runners, and what it gets back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wasmgrid.core.job import Input, Stats
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome

TaskKey = tuple[int, int]
"""(attempt id, task index): what names a live attempt among the runners of one agent."""


class PreparedModule(msgspec.Struct, frozen=True, kw_only=True):
    """A module that runners can load at once: the file that `ModuleCache` compiled and still vouches for.

    `sha256` is the digest of the .wasm, `path` the precompiled file, `metered` whether it counts fuel.
    """

    sha256: str
    path: Path
    metered: bool = False
    fetch_ms: float = 0.0
    precompile_ms: float = 0.0
    module_cached: bool = False
    precompile_cached: bool = False


class RunnerTask(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, ready to run: nothing in it is still to be fetched.

    `stdin` is the bytes, or a file that holds them. `inputs` pairs each input with the local blob of its digest.
    """

    attempt: int
    index: int = 0
    job_id: int
    tenant: str
    module: PreparedModule
    limits: Limits
    milli_cpus: int = 1000
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: bytes | Path = b""
    inputs: list[tuple[Input, Path]] = []

    @property
    def key(self) -> TaskKey:
        """What names this attempt to `Runners`."""
        return self.attempt, self.index


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
    """How an attempt ended. Its files stay until `Runners.release`.

    `crashed`: the runner died under it (a signal, an abort), which says nothing about the guest; `outcome` is then
    `lost` with the signal's name. `stats` has what the runner measured; queue, build, fetch and precompile are the
    agent's to fill in. Times are seconds since 1970.
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
