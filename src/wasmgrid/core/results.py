"""What comes of tasks and builds, as workers tell it and the store keeps it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from wasmgrid.core.outcome import Outcome

INLINE_BYTES = 64 * 1024  # outputs and stdin up to this travel and are stored in their row; larger ones are blobs


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a task left in `/out`; `path` is relative to it."""

    path: str
    bytes: int
    sha256: str


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task wrote to one stream.

    `data` is all that was kept (or its first `INLINE_BYTES` where `sha256` names a blob with all of it), `size` how
    many bytes were kept, `truncated` whether the guest wrote more than that.
    """

    data: bytes = b""
    size: int = 0
    truncated: bool = False
    sha256: str | None = None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt cost. Milliseconds are wall time unless named cpu; None: not measured here.

    `cpu_enforced`: whether a cap on cpus below 1 was held by the kernel.
    """

    queue_ms: float | None = None
    build_ms: float | None = None
    fetch_ms: float = 0.0
    precompile_ms: float = 0.0
    instantiate_ms: float = 0.0
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory_bytes: int = 0
    output_bytes: int = 0
    fuel_used: int | None = None
    module_cached: bool = False
    precompile_cached: bool = False
    cpu_enforced: bool = False


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt of a run task gave, as the worker tells it and the store keeps it.

    `module_missing`: nothing ran, because the module's blob is gone or damaged; a job with a source is built again.
    `return_value` is the JSON text that a function gave, at most `INLINE_BYTES`.
    """

    job_id: int
    index: int
    attempt: int
    worker_id: str
    outcome: Outcome
    stdout: Output = Output()
    stderr: Output = Output()
    artifacts: list[Artifact] = []
    stats: Stats = Stats()
    module_missing: bool = False
    started_at: float = 0.0  # seconds since 1970, the worker's clock; for people, never compared
    finished_at: float = 0.0
    return_value: str | None = None


class TaskRange(msgspec.Struct, frozen=True, kw_only=True):
    """One result for the consecutive tasks `first` .. `first + count - 1`, which differ in nothing but their values.

    Calls of a function that succeeded and printed nothing (`values`: their JSON texts, one a line), or tasks that never
    ran (no `values`, attempt 0). `stats` are one task's, averaged.
    """

    job_id: int
    first: int
    count: int
    attempt: int
    worker_id: str
    outcome: Outcome
    values: bytes = b""
    stats: Stats = Stats()
    started_at: float = 0.0  # of the first; seconds since 1970, the worker's clock
    finished_at: float = 0.0  # of the last

    def results(self) -> Iterator[TaskResult]:
        """Each task's own result."""
        values = self.values.decode().split("\n") if self.values else [None] * self.count
        for index, value in zip(range(self.first, self.first + self.count), values, strict=True):
            yield TaskResult(
                job_id=self.job_id,
                index=index,
                attempt=self.attempt,
                worker_id=self.worker_id,
                outcome=self.outcome,
                stats=self.stats,
                started_at=self.started_at,
                finished_at=self.finished_at,
                return_value=value,
            )


class BuildResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt of a build task gave: a module (its blob uploaded before this is sent), or why there is none.

    `outcome` is exited(0) with a module, build_failed (the source's fault: kept with the build key), or rejected (no
    sandbox, toolchain missing: not the source's fault, not kept). `diagnostics` are the compiler's words, verbatim and
    capped.
    """

    build_id: int
    attempt: int
    worker_id: str
    outcome: Outcome
    toolchain: str = ""
    module_sha256: str | None = None
    module_bytes: int = 0
    module_kind: str = "core"
    diagnostics: str = ""
    diagnostics_truncated: bool = False
    build_ms: float = 0.0
