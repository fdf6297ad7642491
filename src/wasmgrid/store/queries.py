"""What is read of jobs, and of the attempts at their tasks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from wasmgrid.core.errors import JobNotFound
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.store.rows import EndedAttempt, JobRow, OpenJob
from wasmgrid.store.schema import attempts, jobs, results
from wasmgrid.store.tasks import FAILED, joined, stream

LARGEST_ID = (1 << 63) - 1

_decode_spec = msgspec.msgpack.Decoder(StoredSpec).decode

_job = sa.select(jobs).where(jobs.c.tenant == sa.bindparam("tenant"), jobs.c.id == sa.bindparam("job_id"))
_latest = sa.select(sa.func.max(jobs.c.id)).where(jobs.c.tenant == sa.bindparam("tenant"))
_attempts = sa.select(attempts, attempts.c["count"].label("tasks")).where(  # `count` is what any row can do
    attempts.c.kind == "run",
    attempts.c.subject_id == sa.bindparam("job_id"),
    attempts.c.tenant == sa.bindparam("tenant"),
)
_by_task = (attempts.c.task_index, attempts.c.attempt)
_after = sa.tuple_(*_by_task) > sa.tuple_(sa.bindparam("index"), sa.bindparam("attempt"))
_attempts_page = _attempts.where(_after).order_by(*_by_task).limit(sa.bindparam("limit", type_=sa.Integer))
_latest_attempts = _attempts.order_by(attempts.c.attempt.desc()).limit(sa.bindparam("limit", type_=sa.Integer))
_latest_of_task = _latest_attempts.where(
    attempts.c.task_index <= sa.bindparam("index"), attempts.c.task_index + attempts.c["count"] > sa.bindparam("index")
)

_by_state = (
    sa.select(jobs.c.state, sa.func.count()).where(jobs.c.tenant == sa.bindparam("tenant")).group_by(jobs.c.state)
)

_open_ids = (
    sa.select(jobs.c.id)
    .where(jobs.c.finished_at.is_(None), jobs.c.id > sa.bindparam("after_id"))
    .order_by(jobs.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_page = _open_ids.subquery()
_open = sa.select(jobs).where(jobs.c.id.in_(sa.select(_page.c.id))).order_by(jobs.c.id)
_open_done = (
    sa.select(results.c.job_id, results.c.task_index, results.c["count"])
    .where(results.c.job_id.in_(sa.select(_page.c.id)))
    .order_by(results.c.job_id, results.c.task_index)
)
_open_failed = (
    sa.select(results.c.job_id, results.c.outcome, sa.func.sum(results.c["count"]))
    .where(results.c.job_id.in_(sa.select(_page.c.id)), FAILED)
    .group_by(results.c.job_id, results.c.outcome)
)
_open_attempts = (
    sa.select(
        attempts.c.subject_id,
        attempts.c.task_index,
        attempts.c["count"],
        sa.func.sum(sa.cast(attempts.c.counts_as_crash, sa.Integer)),
        sa.func.sum(sa.cast(attempts.c.counts_as_retry, sa.Integer)),
        sa.func.max(attempts.c.attempt),
    )
    .where(attempts.c.kind == "run", attempts.c.subject_id.in_(sa.select(_page.c.id)))
    .group_by(attempts.c.subject_id, attempts.c.task_index, attempts.c["count"])
    .order_by(attempts.c.subject_id, attempts.c.task_index, attempts.c["count"])
)


def job(connection: sa.Connection, tenant: str, job_id: int) -> JobRow:
    """The job with this number; raises `JobNotFound`, also where it is another tenant's."""
    if 0 < job_id <= LARGEST_ID:
        row = connection.execute(_job, {"tenant": tenant, "job_id": job_id}).first()
        if row is not None:
            return job_row(row)
    raise no_such_job(connection, tenant, job_id)


def no_such_job(connection: sa.Connection, tenant: str, job_id: int) -> JobNotFound:
    """The error that says so, with the number that may have been meant."""
    latest = latest_id(connection, tenant)
    known = "there is none yet" if latest is None else f"latest is {latest}"
    hint = "run one: wasmgrid run FILE" if latest is None else "list: wasmgrid jobs"
    return JobNotFound(f"no job {job_id} · {known}", hint=hint)


def latest_id(connection: sa.Connection, tenant: str) -> int | None:
    """The number of a tenant's newest job."""
    return connection.execute(_latest, {"tenant": tenant}).scalar()


def by_state(connection: sa.Connection, tenant: str) -> dict[JobState, int]:
    """How many jobs a tenant has in each state that is kept; a walk over an index of all of them."""
    given = {"tenant": tenant}
    return {JobState(state): count for state, count in connection.execute(_by_state, given)}


def listed(
    connection: sa.Connection,
    tenant: str,
    *,
    states: Collection[JobState],
    name: str | None,
    before_id: int | None,
    limit: int,
) -> list[JobRow]:
    """A tenant's jobs, newest first, below `before_id`; of these states (none: of all) and with `name` in their name.

    `name` is taken literally, except that the case of ASCII letters does not matter.
    """
    wanted: list[JobState | None] = [*sorted(set(states))] or [None]
    pages = [_ids(tenant, state=state, name=name, before_id=before_id, limit=limit) for state in wanted]
    # One page per state, each in the order of its index, is what stays fast where a state is rare.
    ids = sa.union_all(*pages) if len(pages) > 1 else pages[0]
    query = sa.select(jobs).where(jobs.c.id.in_(ids)).order_by(jobs.c.id.desc()).limit(limit)
    return [job_row(row) for row in connection.execute(query)]


def unfinished(
    connection: sa.Connection, database_now: sa.ColumnElement[datetime], *, after_id: int, limit: int
) -> list[OpenJob]:
    """Every tenant's unfinished jobs above `after_id`, oldest first, with what is known of their tasks."""
    page = {"after_id": after_id, "limit": limit}
    rows = connection.execute(_open.add_columns(database_now.label("now")), page).all()
    if not rows:
        return []
    done = {
        job_id: list(joined(row[1:] for row in some))
        for job_id, some in groupby(stream(connection, _open_done, page), key=itemgetter(0))
    }
    failures: dict[int, int] = {}
    cancellations: dict[int, int] = {}
    for job_id, outcome, count in connection.execute(_open_failed, page):
        of_kind = cancellations if outcome == OutcomeKind.CANCELLED else failures
        of_kind[job_id] = of_kind.get(job_id, 0) + int(count)
    crashes: dict[int, dict[int, int]] = {}
    retries: dict[int, dict[int, int]] = {}
    latest: dict[int, list[tuple[int, int, int]]] = {}
    for job_id, first, count, crashed, retried, highest in connection.execute(_open_attempts, page):
        latest.setdefault(job_id, []).append((first, count, highest))
        for counted, times in ((crashes, crashed), (retries, retried)):
            if times:
                of_job = counted.setdefault(job_id, {})
                of_job |= {index: of_job.get(index, 0) + times for index in range(first, first + count)}
    return [
        OpenJob(
            id=row.id,
            tenant=row.tenant,
            spec=_decode_spec(row.spec),
            state=JobState(row.state),
            module_sha256=row.module_sha256,
            build_id=row.build_id,
            submitted_at=row.submitted_at,
            age_s=max(0.0, (row.now - row.submitted_at).total_seconds()),
            cancel_requested=row.cancel_requested_at is not None,
            task_count=row.task_count,
            done=done.get(row.id, []),
            failures=failures.get(row.id, 0),
            cancellations=cancellations.get(row.id, 0),
            crashes=crashes.get(row.id, {}),
            retries=retries.get(row.id, {}),
            latest=latest.get(row.id, []),
        )
        for row in rows
    ]


def ended_attempts(
    connection: sa.Connection, tenant: str, job_id: int, after: tuple[int, int], limit: int
) -> list[EndedAttempt]:
    """Some of the attempts at a job's tasks that gave no result, by (index, attempt): those after `after`."""
    index, attempt = after
    asked = {"tenant": tenant, "job_id": job_id, "index": index, "attempt": attempt, "limit": limit}
    return [_attempt(row) for row in connection.execute(_attempts_page, asked)]


def latest_attempts(
    connection: sa.Connection, tenant: str, job_id: int, index: int | None, limit: int
) -> list[EndedAttempt]:
    """The newest of a job's attempts that gave no result, or of those at its task `index`; oldest of them first."""
    asked = {"tenant": tenant, "job_id": job_id, "limit": limit}
    if index is None:
        rows = connection.execute(_latest_attempts, asked).all()
    else:
        rows = connection.execute(_latest_of_task, {**asked, "index": index}).all()
    return [_attempt(row) for row in reversed(rows)]


def _attempt(row: sa.Row[Any]) -> EndedAttempt:
    return EndedAttempt(
        kind=row.kind,
        id=row.subject_id,
        index=row.task_index,
        attempt=row.attempt,
        worker_id=row.worker_id,
        reason=row.reason,
        ended_at=row.ended_at,
        counts_as_crash=row.counts_as_crash,
        counts_as_retry=row.counts_as_retry,
        count=row.tasks,
    )


def _ids(
    tenant: str, *, state: JobState | None, name: str | None, before_id: int | None, limit: int
) -> sa.Select[tuple[int]]:
    """The numbers of one page. Its conditions and its order are answered by one index alone."""
    page = sa.select(jobs.c.id).where(jobs.c.tenant == tenant)
    if state is not None:
        page = page.where(jobs.c.state == state.value)
    if before_id is not None:
        page = page.where(jobs.c.id < min(before_id, LARGEST_ID))
    if name:
        page = page.where(jobs.c.name.icontains(name, autoescape=True))
    found = page.order_by(jobs.c.id.desc()).limit(limit).subquery()
    return sa.select(found.c.id)


def job_row(row: sa.Row[Any]) -> JobRow:
    """A row of `jobs` as other stages see it."""
    return JobRow(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        state=JobState(row.state),
        spec=_decode_spec(row.spec),
        module_sha256=row.module_sha256,
        build_id=row.build_id,
        build_cached=row.build_cached,
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested_at=row.cancel_requested_at,
        task_count=row.task_count,
        message=row.message,
    )
