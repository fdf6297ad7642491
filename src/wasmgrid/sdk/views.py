"""What a server answers, as clients read it: every key optional, every word open.

A newer server may send keys, states and outcomes that this client never heard of; none of them may break it. So these
are the structs of `core.job` with plain strings where the server has enumerations, and a default for everything.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import msgspec

from wasmgrid.core.job import Artifact, BuildView, Stats
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.core.outcome import Outcome, OutcomeKind, process_exit_code
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Cache, Gpu, Toolchain
from wasmgrid.sdk.counts import Counts

WASMGRID_FAILED = 125  # the exit code of wasmgrid's own failures


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a job's task ended; the meaning of each key is in `core.job.ResultView`."""

    job_id: int = 0
    index: int = 0
    attempt: int = 0
    worker_id: str | None = None
    outcome: str = ""
    exit_code: int | None = None
    trap_kind: str | None = None
    message: str | None = None
    backtrace: str | None = None
    return_value: Any = None
    stdout: str = ""
    stderr: str = ""
    stdout_base64: str | None = None
    stderr_base64: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    stdout_sha256: str | None = None
    stderr_sha256: str | None = None
    artifacts: list[Artifact] = []
    stats: Stats = Stats()

    @property
    def succeeded(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return self.outcome == OutcomeKind.EXITED and self.exit_code == 0

    @property
    def stdout_head(self) -> bytes:
        """The first bytes of stdout (all of it where `stdout_sha256` is None), as the program wrote them."""
        return base64.b64decode(self.stdout_base64) if self.stdout_base64 is not None else self.stdout.encode()

    @property
    def stderr_head(self) -> bytes:
        """The same of stderr."""
        return base64.b64decode(self.stderr_base64) if self.stderr_base64 is not None else self.stderr.encode()

    @property
    def process_exit_code(self) -> int:
        """What a `wasmgrid run` that ended so exits with."""
        try:
            kind = OutcomeKind(self.outcome)
        except ValueError:
            return WASMGRID_FAILED
        return process_exit_code(Outcome(kind=kind, exit_code=self.exit_code))


class InputOf(msgspec.Struct, frozen=True, kw_only=True):
    """An input of a job: a file, or a tar archive where `tree`."""

    path: str = ""
    sha256: str = ""
    tree: bool = False
    writable: bool = False


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asked for. Only the keys that a client uses have names here; `msgspec` ignores the others."""

    name: str = ""
    source: dict[str, Any] | None = None
    module_sha256: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: dict[str, Any] | None = None
    inputs: list[InputOf] = []
    cpus: float = 0.0
    memory_mb: int = 0
    disk_mb: int = 0
    gpus: int = 0
    require: dict[str, str] = {}
    prefer: dict[str, str] = {}
    time_limit_s: float = 0.0
    queue_timeout_s: float | None = None
    total_timeout_s: float | None = None
    output_limit_bytes: int = 0
    array: str | None = None
    lines: dict[str, Any] | None = None
    function: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job; the meaning of each key is in `core.job.JobView`."""

    id: int
    name: str = ""
    state: str = ""
    state_reason: str | None = None
    finished: bool = False
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    spec: Spec = Spec()
    module_sha256: str | None = None
    module_bytes: int | None = None
    build: BuildView | None = None
    task_count: int = 1
    task_counts: dict[str, int] = {}
    stats: dict[str, Any] | None = None
    result: Result | None = None
    warnings: list[str] = []

    @property
    def process_exit_code(self) -> int:
        """What a command that waited for this job exits with: of an array 0 where every task succeeded, else 1."""
        if self.is_array:
            return {"succeeded": 0, "cancelled": 130}.get(self.state, 1)
        if self.result is not None:
            return self.result.process_exit_code
        return {"succeeded": 0, "cancelled": 130}.get(self.state, WASMGRID_FAILED)

    @property
    def is_array(self) -> bool:
        """Whether it was asked for as many tasks; it may have just one of them."""
        return self.spec.array is not None

    @property
    def counts(self) -> Counts:
        """How many of its tasks succeeded, failed, ..."""
        return Counts.of(self.task_counts, self.task_count)

    @property
    def done(self) -> bool:
        """Whether nothing about this job will change any more."""
        return self.finished or self.state in FINISHED


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some jobs; `next_cursor` asks for those after them. `cut`: a search goes on there, found or not."""

    jobs: list[Job] = []
    next_cursor: str | int | None = None
    cut: bool = False


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the grid sees it; the meaning of each key is in `core.worker.WorkerView`."""

    id: str = ""
    state: str = ""
    labels: dict[str, str] = {}
    capacity: Resources = Resources()
    used: Resources = Resources()
    running: list[str] = []
    toolchains: list[Toolchain] = []
    builds_only: bool = False
    silent_s: float | None = None
    hostname: str = ""
    version: str = ""
    gpus: list[Gpu] = []
    gpus_used: list[int] = []
    cache: Cache = Cache()
    remaining_s: float | None = None
    note: str = ""


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """All workers."""

    workers: list[Worker] = []


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """The server that schedules; `term` rises whenever another takes over."""

    server_id: str = ""
    term: int = 0


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The server that answers, whether it leads, and who does (None: nobody at this moment)."""

    server_id: str = ""
    leads: bool = False
    leader: Leader | None = None


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """How workers reach a grid's fabric: its addresses, and the authority of its certificates (None: it needs none)."""

    nats_url: str = ""
    ca: str | None = None
    fingerprint: str | None = None  # of `ca`: its sha256


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential of the fabric, without its secret; `kind` is worker or server."""

    name: str = ""
    kind: str = ""
    public_key: str = ""
    created_at: datetime | None = None
    revoked_at: datetime | None = None


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """All credentials that were made."""

    credentials: list[Credential] = []


class Toolchains(msgspec.Struct, frozen=True, kw_only=True):
    """The toolchains of the grid's workers."""

    toolchains: list[Toolchain] = []


class WorkerWhy(msgspec.Struct, frozen=True, kw_only=True):
    """Why one worker does not run a task: its mismatches (empty: it fits), and the smallest change that would fit."""

    worker_id: str = ""
    mismatches: list[str] = []
    busy: bool = False
    change: str | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is where it is."""

    reason: str | None = None
    workers: list[WorkerWhy] = []


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One assignment of a task, or of `count` tasks from `index` on, to a worker, and how it ended."""

    index: int = 0
    count: int = 1
    attempt: int = 0
    worker_id: str | None = None
    reason: str | None = None
    outcome: str | None = None
    ended_at: datetime | None = None


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts at a job's tasks that ended; `next_cursor` asks for the ones after them."""

    attempts: list[Attempt] = []
    next_cursor: str | None = None


class Artifacts(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a job's task left in `/out`."""

    artifacts: list[Artifact] = []


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A server's version."""

    version: str = ""


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that signs a browser in, once, within `lasts_s`; `path` is below the server's URL."""

    path: str = ""
    lasts_s: float = 0.0


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions and unused links were ended."""

    ended: int = 0


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would go. `bytes` are those of the files."""

    jobs: int = 0
    builds: int = 0
    modules: int = 0
    blobs: int = 0
    bytes: int = 0
    dry_run: bool = False
