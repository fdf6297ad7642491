"""A job as it is asked for, kept and shown.

`JobSpec` is the request's JSON; `StoredSpec` is what the store keeps of it (bytes replaced by digests); `JobView` and
`ResultView` are the JSON that comes back. One name everywhere: a key here is the flag, the keyword, the job-file key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wasmgrid.core import limits
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import Run, parse_runs
from wasmgrid.core.results import INLINE_BYTES as INLINE_BYTES  # noqa: PLC0414 -- said as job.INLINE_BYTES
from wasmgrid.core.results import Artifact as Artifact  # noqa: PLC0414 -- said as job.Artifact
from wasmgrid.core.results import BuildResult as BuildResult  # noqa: PLC0414 -- said as job.BuildResult
from wasmgrid.core.results import Output as Output  # noqa: PLC0414 -- said as job.Output
from wasmgrid.core.results import Stats as Stats  # noqa: PLC0414 -- said as job.Stats
from wasmgrid.core.results import TaskRange as TaskRange  # noqa: PLC0414 -- said as job.TaskRange
from wasmgrid.core.results import TaskResult as TaskResult  # noqa: PLC0414 -- said as job.TaskResult

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(max_length=200)]


class TaskId(msgspec.Struct, frozen=True, order=True, gc=False):
    """One task: `kind` is run or build, `id` the job's or the build's number, `index` 0..N-1 within a job."""

    kind: str
    id: int
    index: int = 0


class Base64(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are not text, in JSON: `{"base64": "..."}`."""

    base64: bytes


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Source as it is sent: path -> content. `language` and `entry` are inferred where they are not given.

    `files` is left out where they travel beside the spec, as parts of a multipart body.
    """

    files: dict[str, str | Base64] = {}
    language: Annotated[str, Meta(max_length=40)] | None = None
    entry: Annotated[str, Meta(max_length=4096)] | None = None
    build_flags: Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=100)] = []


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file (`tree` false) or a directory (`tree`: a tar archive) that the guest sees at `path`.

    Read-only unless `writable`; what a guest writes there is discarded with its sandbox.
    """

    path: Annotated[str, Meta(min_length=1, max_length=1024)]
    sha256: Sha256
    tree: bool = False
    writable: bool = False


class Lines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a text per task: task 0 gets the first line of the blob `sha256`, UTF-8, and so on.

    `use` says as what: `stdin` (with its line end), `args` (split as a shell does, after the job's own), `json_args` (a
    JSON array of them), `line` (only where the job's args say `{line}`), or `call` (the JSON array of a function's
    arguments). `count` is filled in by the server.
    """

    sha256: Sha256
    use: Annotated[str, Meta(pattern=r"^(stdin|args|json_args|line|call)\Z")] = "stdin"
    count: Annotated[int, Meta(ge=0)] = 0


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was submitted. Exactly one of `source` and `module_sha256` is given.

    Three times: `time_limit_s` is one attempt's run, `queue_timeout_s` the longest wait before it first starts,
    `total_timeout_s` all from submission to the end. `retry_memory` is the factor by which `memory_mb` grows after each
    out_of_memory that is retried.
    """

    name: Name = ""
    source: Source | None = None
    module_sha256: Sha256 | None = None
    args: Annotated[list[str], Meta(max_length=10_000)] = []
    env: dict[str, str] = {}
    stdin: str | Base64 | None = None
    inputs: Annotated[list[Input], Meta(max_length=1000)] = []
    cpus: Annotated[float, Meta(gt=0)] = limits.DEFAULT_CPUS
    memory_mb: Annotated[int, Meta(ge=1)] = limits.DEFAULT_MEMORY_MB
    disk_mb: Annotated[int, Meta(ge=1)] = limits.DEFAULT_DISK_MB
    gpus: Annotated[int, Meta(ge=0)] = 0
    gpu_model: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    gpu_memory_mb: Annotated[int, Meta(ge=0)] = 0
    require: dict[str, str] = {}
    prefer: dict[str, str] = {}
    time_limit_s: Annotated[float, Meta(gt=0)] = limits.DEFAULT_TIME_LIMIT_S
    queue_timeout_s: Annotated[float, Meta(gt=0)] | None = None
    total_timeout_s: Annotated[float, Meta(gt=0)] | None = None
    cpu_time_limit_s: Annotated[float, Meta(gt=0)] | None = None
    output_limit_bytes: Annotated[int, Meta(ge=0)] = limits.DEFAULT_OUTPUT_LIMIT_BYTES
    output_overflow: Annotated[str, Meta(pattern=r"^(stop|truncate)\Z")] = "stop"
    fuel: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None
    retries: Annotated[int, Meta(ge=0)] = 0
    retry_memory: Annotated[float, Meta(gt=1, le=16)] | None = None
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    array: Annotated[str, Meta(min_length=1, max_length=200_000)] | None = None
    lines: Lines | None = None
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    max_fails: Annotated[int, Meta(ge=0)] | None = None
    function: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    isolate: bool = False
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    install: bool = True
    fail_fast: bool = False
    build_only: bool = False


class SourceRef(msgspec.Struct, frozen=True, kw_only=True):
    """Source as it is kept: the blob of `digest.pack_files`, with what was inferred.

    `function`: the one that the module is to offer for calls, beside or instead of a program. `paths` are its files,
    for people; of very many only the first, because this travels in frames.
    """

    sha256: str
    language: str
    entry: str
    build_flags: list[str] = []
    function: str | None = None
    paths: list[str] = []
    bytes: int = 0


class Stdin(msgspec.Struct, frozen=True, kw_only=True):
    """Standard input as it is kept: inline up to `INLINE_BYTES`, else a blob."""

    data: bytes = b""
    sha256: str | None = None


class StoredSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A `JobSpec` with every large thing replaced by its digest. MessagePack in the store, and part of a job's JSON.

    `array` is given for every job that was asked for as one (also for a single task of it), None otherwise.
    """

    name: str = ""
    source: SourceRef | None = None
    module_sha256: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: Stdin | None = None
    inputs: list[Input] = []
    cpus: float = limits.DEFAULT_CPUS
    memory_mb: int = limits.DEFAULT_MEMORY_MB
    disk_mb: int = limits.DEFAULT_DISK_MB
    gpus: int = 0
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    require: dict[str, str] = {}
    prefer: dict[str, str] = {}
    time_limit_s: float = limits.DEFAULT_TIME_LIMIT_S
    queue_timeout_s: float | None = None
    total_timeout_s: float | None = None
    cpu_time_limit_s: float | None = None
    output_limit_bytes: int = limits.DEFAULT_OUTPUT_LIMIT_BYTES
    output_overflow: str = "stop"
    fuel: int | None = None
    retries: int = 0
    retry_memory: float | None = None
    priority: int = 0
    array: str | None = None
    lines: Lines | None = None
    concurrency: int | None = None
    max_fails: int | None = None
    function: str | None = None
    isolate: bool = False
    install: bool = True
    fail_fast: bool = False
    build_only: bool = False

    @property
    def indexes(self) -> list[Run]:
        """The job's task indexes, as runs (first, how many) in order."""
        return [(0, 1)] if self.array is None else parse_runs(self.array, field="array")

    @property
    def limits(self) -> limits.Limits:
        """The caps of one attempt of this job."""
        return limits.Limits(
            memory_mb=self.memory_mb,
            wall_s=self.time_limit_s,
            cpu_s=self.cpu_time_limit_s,
            output_bytes=self.output_limit_bytes,
            disk_mb=self.disk_mb,
            fuel=self.fuel,
            truncate_output=self.output_overflow == "truncate",
        )


class BuildView(msgspec.Struct, frozen=True, kw_only=True):
    """How a job's module came to be, as JSON. `cached`: an earlier build's module was used."""

    cached: bool | None = None
    diagnostics: str = ""
    diagnostics_truncated: bool = False
    toolchain: str | None = None
    language: str | None = None
    build_ms: float | None = None


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """A task's result as JSON. `stdout_base64` is given where the bytes are not UTF-8 (then `stdout` has U+FFFD in it).

    `stdout` holds at most the first `INLINE_BYTES`; where more was kept `stdout_sha256` names the whole, which
    `GET /v1/jobs/{id}/stdout` sends.
    """

    job_id: int
    index: int
    attempt: int
    worker_id: str
    outcome: OutcomeKind
    exit_code: int | None
    trap_kind: str | None
    message: str | None
    backtrace: str | None
    return_value: Any
    stdout: str
    stderr: str
    stdout_base64: str | None
    stderr_base64: str | None
    stdout_bytes: int
    stderr_bytes: int
    stdout_truncated: bool
    stderr_truncated: bool
    stdout_sha256: str | None
    stderr_sha256: str | None
    artifacts: list[Artifact]
    stats: Stats


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as JSON. `state_reason` says why it is in its state, in words a person can act on."""

    id: int
    name: str
    state: JobState
    state_reason: str | None
    finished: bool
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    spec: StoredSpec
    module_sha256: str | None
    module_bytes: int | None
    build: BuildView | None
    task_count: int
    task_counts: dict[str, int]
    stats: dict[str, Any] | None
    result: ResultView | None
    warnings: list[str] = []
