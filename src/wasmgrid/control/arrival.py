"""What is written down of a job and its tasks, said as the leader's half hears and says it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.protocol import events
from wasmgrid.store import rows

_COUNTED = "count" in rows.EndedAttempt.__struct_fields__


def arrived(job: rows.OpenJob, *, old: bool) -> events.JobArrived:
    """An unfinished job, as it comes to the leader."""
    latest: Any = job.latest
    return events.JobArrived(
        job_id=job.id,
        tenant=job.tenant,
        spec=job.spec,
        module_sha256=job.module_sha256,
        cancel_requested=job.cancel_requested,
        old=old,
        age_s=job.age_s,
        done=_runs(getattr(job, "done_runs", job.done)),
        failures=int(getattr(job, "failures", job.failed)),
        cancellations=int(getattr(job, "cancellations", getattr(job, "cancelled", 0))),
        crashes=job.crashes,
        tries=job.retries,
        latest=[(index, 1, attempt) for index, attempt in latest.items()] if isinstance(latest, dict) else latest,
    )


def ended_row(ended: events.EndedAttempt) -> rows.EndedAttempt:
    """An attempt that ended without ending its tasks."""
    counted: dict[str, Any] = {"count": ended.count} if _COUNTED else {}
    return rows.EndedAttempt(
        kind=ended.task.kind,
        id=ended.task.id,
        index=ended.task.index,
        attempt=ended.attempt,
        worker_id=ended.worker_id,
        reason=ended.reason,
        ended_at=datetime.now(UTC),
        counts_as_crash=ended.crashed,
        counts_as_retry=ended.retried,
        **counted,
    )


def finished_row(finished: events.FinishedJob) -> rows.FinishedJob:
    """A job that ended now."""
    return rows.FinishedJob(
        job_id=finished.job_id,
        state=finished.state,
        started_at=finished.started_at,
        finished_at=datetime.now(UTC),
        message=finished.message,
        build_id=finished.build_id,
        build_cached=finished.build_cached,
    )


def _runs(done: Any) -> list[Run]:
    return Ranges((each, 1) if isinstance(each, int) else each for each in done).runs()
