"""What happens to a leader, and what it wants done."""

from __future__ import annotations

from datetime import datetime

import msgspec

from wasmgrid.core.job import BuildResult, SourceRef, StoredSpec, TaskId, TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import Heartbeat, Inventory, Leave, Message, Progress, Refused, Results, Returned
from wasmgrid.core.worker import WorkerInfo

# ---- events


class JobArrived(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished job of the store: just submitted, or found by the sweep.

    `old`: it was there before this leader took over, so a worker may hold its tasks. `age_s` is how long ago it was
    submitted, by the store's clock. `done` are the indexes that have a result, as runs; of these `failures` failed and
    `cancellations` were cancelled. `crashes` counts per index the attempts that died of a crash, `tries` those after
    which the user's retries gave another. `latest` are (first, count, attempt): attempts that ended without ending
    these tasks.
    """

    job_id: int
    tenant: str
    spec: StoredSpec
    module_sha256: str | None = None
    cancel_requested: bool = False
    old: bool = False
    age_s: float = 0.0
    done: list[Run] = []
    failures: int = 0
    cancellations: int = 0
    crashes: dict[int, int] = {}
    tries: dict[int, int] = {}
    latest: list[tuple[int, int, int]] = []


class CancelAsked(msgspec.Struct, frozen=True):
    """Someone wants a job to end; the wish is in the store already."""

    job_id: int


class WorkerAsked(msgspec.Struct, frozen=True):
    """A person wants something of a worker: `action` is drain, cordon or uncordon."""

    worker_id: str
    action: str


class Said(msgspec.Struct, frozen=True):
    """A worker's message."""

    message: Inventory | Heartbeat | Progress | Refused | Returned | Results | Leave


class Unheard(msgspec.Struct, frozen=True):
    """An assignment met no subscriber: that worker is not there."""

    worker_id: str
    attempt: int


class BuildOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The store's row for a build key. `state`: pending, done (with a module) or failed (`message` says why)."""

    build_id: int
    build_key: str
    state: str
    module_sha256: str | None = None
    message: str | None = None


class Written(msgspec.Struct, frozen=True):
    """A `Write` is committed."""

    token: int


class WriteFailed(msgspec.Struct, frozen=True):
    """A `Write` could not be done now (disk full); nothing of it is in the store. It is asked for again."""

    token: int


class ModulesPruned(msgspec.Struct, frozen=True):
    """Builds and modules may have gone from the store: what memory knows of them no longer counts."""


class Tick(msgspec.Struct, frozen=True):
    """Time went by."""


Event = (
    JobArrived | CancelAsked | WorkerAsked | Said | Unheard | BuildOpened | Written | WriteFailed | ModulesPruned | Tick
)


# ---- what the store is asked to write


class EndedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that ended without ending its task, or the `count` tasks from that on.

    `crashed`: it counts towards the crash limit. `retried`: it was the user's own failure, and used up a retry.
    """

    task: TaskId
    attempt: int
    worker_id: str
    reason: str
    crashed: bool = False
    retried: bool = False
    count: int = 1


class FinishedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose last result is in the same write. `build_id` is given where a build that failed ended it."""

    job_id: int
    state: JobState
    message: str = ""
    started_at: datetime | None = None
    build_id: int | None = None
    build_cached: bool | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Results, ended attempts and finished jobs, in one transaction."""

    results: list[TaskResult] = []
    ranges: list[TaskRange] = []
    ended: list[EndedAttempt] = []
    finished: list[FinishedJob] = []

    def jobs(self) -> list[int]:
        """The jobs that it has results of."""
        given = [result.job_id for result in self.results] + [each.job_id for each in self.ranges]
        return list(dict.fromkeys(given))

    def failures(self, job_id: int) -> int:
        """How many of that job's tasks it tells failed; what was cancelled did not."""
        ends = [(1, result.outcome) for result in self.results if result.job_id == job_id]
        ends += [(each.count, each.outcome) for each in self.ranges if each.job_id == job_id]
        return sum(count for count, outcome in ends if outcome.failed)


class FinishBuild(msgspec.Struct, frozen=True, kw_only=True):
    """A build's result, for its row."""

    result: BuildResult


class AssignModule(msgspec.Struct, frozen=True, kw_only=True):
    """These jobs go from building to queued."""

    job_ids: list[int]
    module_sha256: str
    build_id: int
    cached: bool


class SaveWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker joined, drains, left or was lost. `hold`: cordoned, quarantined or nothing; it outlives all of these."""

    info: WorkerInfo
    state: str
    hold: str = ""
    note: str = ""


Body = Record | FinishBuild | AssignModule | SaveWorker


# ---- commands


class ToWorker(msgspec.Struct, frozen=True):
    """Send to one worker."""

    worker_id: str
    message: Message


class ToAll(msgspec.Struct, frozen=True):
    """Send to every worker."""

    message: Message


class Write(msgspec.Struct, frozen=True):
    """Commit this, in the order of the tokens, then say `Written(token)`, or `WriteFailed(token)`."""

    token: int
    body: Body


class OpenBuild(msgspec.Struct, frozen=True, kw_only=True):
    """Find or make the row of a build key, then say `BuildOpened`."""

    build_key: str
    source: SourceRef
    toolchain: str


class Changed(msgspec.Struct, frozen=True):
    """What is shown of a job changed; `finished`: its end is committed."""

    job_id: int
    finished: bool = False


Command = ToWorker | ToAll | Write | OpenBuild | Changed


class LiveTask(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a job that a worker holds now: the task that runs, or will first, and how many are left."""

    index: int
    attempt: int
    worker_id: str
    phase: str
    detail: str = ""
    count: int = 1


class LiveJob(msgspec.Struct, frozen=True, kw_only=True):
    """What the leader knows of an unfinished job beyond the store. `counts` are its tasks by state, above 0."""

    state: JobState
    reason: str | None
    started_at: datetime | None
    module_sha256: str | None = None
    tasks: list[LiveTask] = []
    counts: dict[str, int] = {}
