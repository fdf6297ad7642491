"""What is written down of a job and its tasks, said as the leader's half hears and says it."""

from __future__ import annotations

from datetime import UTC, datetime

from wasmgrid.protocol import events
from wasmgrid.store import rows


def arrived(job: rows.OpenJob, *, old: bool) -> events.JobArrived:
    """An unfinished job, as it comes to the leader."""
    return events.JobArrived(
        job_id=job.id,
        tenant=job.tenant,
        spec=job.spec,
        module_sha256=job.module_sha256,
        cancel_requested=job.cancel_requested,
        old=old,
        age_s=job.age_s,
        done=job.done,
        failures=job.failures,
        cancellations=job.cancellations,
        crashes=job.crashes,
        tries=job.retries,
        latest=job.latest,
    )


def ended_row(ended: events.EndedAttempt) -> rows.EndedAttempt:
    """An attempt that ended without ending its tasks."""
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
        count=ended.count,
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
