"""What goes into the store and what comes out of it, as frozen structs. No SQL here: any stage may import these.

Times are aware datetimes in UTC. `running` is never a stored state: which queued job runs is in the leader's memory.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from wasmgrid.core.job import SourceRef, StoredSpec, TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.core.worker import WorkerInfo

DEFAULT_TENANT = "default"


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be kept: `state` is building (its module is not known yet) or queued.

    `request_sha256` is the digest of the request as it came in; an `idempotency_key` that was used before gives that
    job again where the digests agree and `IdempotencyConflict` where they do not.
    """

    spec: StoredSpec
    state: JobState
    tenant: str = DEFAULT_TENANT
    task_count: int = 1
    module_sha256: str | None = None
    idempotency_key: str | None = None
    request_sha256: str | None = None


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The job's number, and whether its idempotency key named a job that was there `existing`ly before."""

    id: int
    existing: bool
    submitted_at: datetime


Refused = dict[int, Ranges]
"""Job number -> those of its tasks whose results were not recorded: they have one, or there is no such task."""


class EndedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that ended without ending its task, or the `count` tasks from `index` on.

    `kind` is run or build, `id` the job's or the build's number. It counts towards the crash limit, or used up one of
    the user's retries, or neither (its worker was lost).
    """

    kind: str
    id: int
    index: int = 0
    attempt: int
    worker_id: str
    reason: str
    ended_at: datetime
    counts_as_crash: bool = False
    counts_as_retry: bool = False
    count: int = 1


class FinishedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job's last word. `build_id` and `build_cached` are given where a failed build ended it (None: left as is)."""

    job_id: int
    state: JobState
    started_at: datetime | None
    finished_at: datetime
    message: str = ""
    build_id: int | None = None
    build_cached: bool | None = None


class OpenJob(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished job as a leader takes it up; `state` is building or queued.

    `done` are the indexes that have a result, as runs; of these `failures` failed and `cancellations` were cancelled.
    `crashes` and `retries` count per index the attempts that ended without one and count as such. `latest` are (first,
    count, attempt): attempts that ended without ending these tasks, the highest for each such run. `age_s` is how long
    ago the job was submitted; both it and `submitted_at` are by the database's clock.
    """

    id: int
    tenant: str
    spec: StoredSpec
    state: JobState
    module_sha256: str | None
    build_id: int | None
    submitted_at: datetime
    age_s: float = 0.0
    cancel_requested: bool
    task_count: int
    done: list[Run] = []
    failures: int = 0
    cancellations: int = 0
    crashes: dict[int, int] = {}
    retries: dict[int, int] = {}
    latest: list[tuple[int, int, int]] = []


class ResultsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Results in the order of recording. `cursor` is what `after` is for what follows, at once or once it is there.

    `seqs` are the cursors behind each of them.
    """

    results: list[TaskResult | TaskRange]
    seqs: list[int]
    cursor: int


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is kept. `message` is empty until it is finished; then one sentence where there is one to say."""

    id: int
    tenant: str
    name: str
    state: JobState
    spec: StoredSpec
    module_sha256: str | None
    build_id: int | None
    build_cached: bool | None
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    task_count: int
    message: str


Position = tuple[int, int]
"""Where a list goes on: after the job of this number, which ended then (microseconds; 0 where that does not matter)."""


class JobSort(StrEnum):
    """The orders that an index has: by number, or by when jobs ended, the last one first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    FINISHED = "finished"


class JobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs, in which order. All that is given must hold; texts are taken literally, whatever the case of ASCII.

    `states` are those that are kept (an unfinished job is building or queued). `name` is a part of it; `search` that,
    the language or the number. `since` (from then on) and `until` (before then) are of the submission. `worker`: where
    its first result came from; `running` are jobs that count as its own, because it has them now. `ids`: of these
    alone. `after` is where the page before ended.
    """

    states: frozenset[JobState] = frozenset()
    name: str | None = None
    search: str | None = None
    language: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    worker: str | None = None
    running: frozenset[int] = frozenset()
    ids: frozenset[int] | None = None
    sort: JobSort = JobSort.NEWEST
    after: Position | None = None
    limit: int = 100


class JobsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs in order; `after` is where to go on (None: there are no more).

    `cut`: the time for one look was over, so there may be more of them sooner than the page is full.
    """

    jobs: list[JobRow]
    after: Position | None
    cut: bool = False


class BuildState(StrEnum):
    """pending -> done | failed. A build that was rejected (no fault of its source) stays pending."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class NewBuild(msgspec.Struct, frozen=True, kw_only=True):
    """A build that a job needs; `build_key` is `core.digest.build_key`, `toolchain` the identity that went into it."""

    build_key: str
    source: SourceRef
    toolchain: str
    tenant: str = DEFAULT_TENANT


class BuildRow(msgspec.Struct, frozen=True, kw_only=True):
    """A build as it is kept; what it gave is empty or None while it is pending."""

    id: int
    tenant: str
    build_key: str
    state: BuildState
    source: SourceRef
    toolchain: str
    module_sha256: str | None
    module_bytes: int
    module_kind: str
    diagnostics: str
    diagnostics_truncated: bool
    message: str
    build_ms: float
    created_at: datetime
    finished_at: datetime | None
    used_at: datetime


class ModuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A module that was built or uploaded; its bytes are the blob of the same digest. `kind` is core or component."""

    sha256: str
    size: int
    kind: str
    added_at: datetime


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it was last heard of: `state` is joined, draining, left or lost, since `changed_at`.

    `hold` is cordoned or quarantined where it shall get nothing new whatever its state, else empty; `note` says why.
    """

    id: str
    state: str
    hold: str = ""
    note: str = ""
    info: WorkerInfo
    joined_at: datetime
    changed_at: datetime


class Leadership(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads, or led last: `age_s` since it last said so, by the database's clock. `released`: it gave it up.

    The age is below 0 where that clock was set back since.
    """

    term: int
    server_id: str
    age_s: float
    released: bool


class CredentialRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's or a server's credential (`kind`), as the fabric is told of it; its seed is nowhere but with them."""

    name: str
    kind: str
    public_key: str
    created_at: datetime
    revoked_at: datetime | None


class PrunePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may go. Ages in seconds, None: no bound of that sort.

    Finished jobs (with their results) go once they are older than `results_age_s`, oldest first also while all of them
    hold more than `results_bytes`; builds and modules by their last use likewise. Blobs go when no row names them.
    The rows of workers that left or were lost so long ago (`workers_age_s`) go unless they are held.
    Nothing goes within `grace_s`, which also bounds how long an idempotency key is sure to be remembered. Near 0 it is
    for a grid at rest: an upload whose job is not submitted yet has nothing else to protect it.
    """

    results_age_s: float | None = 30 * 86400.0
    results_bytes: int | None = 20 << 30
    builds_age_s: float | None = 30 * 86400.0
    builds_bytes: int | None = 10 << 30
    workers_age_s: float | None = 30 * 86400.0
    grace_s: float = 2 * 3600.0
    dry_run: bool = False


class PruneReport(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would go (a dry run counts the blobs that no row names now). `bytes` are those of blobs."""

    jobs: int = 0
    builds: int = 0
    modules: int = 0
    workers: int = 0
    blobs: int = 0
    bytes: int = 0
    dry_run: bool = False
