"""What is written of a job itself: submission, the wish to cancel, its module, its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from wasmgrid.core.errors import IdempotencyConflict, InvalidField
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.store.database import InsertInto
from wasmgrid.store.queries import LARGEST_ID, no_such_job
from wasmgrid.store.rows import FinishedJob, NewJob, Submitted
from wasmgrid.store.schema import blob_refs, jobs, results

SizesOf = Callable[[sa.Connection, Collection[str]], int]

_encode = msgspec.msgpack.Encoder().encode

_find_key = sa.select(jobs.c.id, jobs.c.request_sha256, jobs.c.submitted_at).where(
    jobs.c.tenant == sa.bindparam("tenant"), jobs.c.idempotency_key == sa.bindparam("idempotency_key")
)
_exists = sa.select(jobs.c.id).where(jobs.c.id == sa.bindparam("job_id"), jobs.c.tenant == sa.bindparam("tenant"))
_assign_module = (
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("job_id"), jobs.c.finished_at.is_(None))
    .values(
        state=JobState.QUEUED.value,
        module_sha256=sa.bindparam("module"),
        build_id=sa.bindparam("build"),
        build_cached=sa.bindparam("cached"),
    )
)
_finish = (
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("job_id"), jobs.c.finished_at.is_(None))
    .values(
        state=sa.bindparam("to_state"),
        started_at=sa.bindparam("started"),
        finished_at=sa.bindparam("finished"),
        message=sa.bindparam("words"),
        build_id=sa.func.coalesce(sa.bindparam("build", type_=jobs.c.build_id.type), jobs.c.build_id),
        build_cached=sa.func.coalesce(sa.bindparam("cached", type_=sa.Boolean), jobs.c.build_cached),
        bytes=jobs.c.bytes
        + sa.func.coalesce(
            sa.select(sa.func.sum(results.c.bytes)).where(results.c.job_id == sa.bindparam("job_id")).scalar_subquery(),
            0,
        ),
    )
)


class Jobs:
    """Writes of jobs, as functions over a connection. `sizes_of` tells the bytes of those blobs that there are."""

    def __init__(self, insert: InsertInto, database_now: sa.ColumnElement[datetime], sizes_of: SizesOf) -> None:
        self._sizes_of = sizes_of
        add = insert(jobs).values(submitted_at=database_now)
        self._insert = add.on_conflict_do_nothing().returning(jobs.c.id, jobs.c.submitted_at)
        self._insert_refs = insert(blob_refs).on_conflict_do_nothing()
        self._request_cancel = (
            sa.update(jobs)
            .where(
                jobs.c.id == sa.bindparam("job_id"),
                jobs.c.tenant == sa.bindparam("of_tenant"),
                jobs.c.finished_at.is_(None),
                jobs.c.cancel_requested_at.is_(None),
            )
            .values(cancel_requested_at=database_now)
        )

    def submit(self, connection: sa.Connection, new: NewJob, row: dict[str, object]) -> Submitted:
        """Insert `row` (made of `new` by `job_row`), or find the job that its idempotency key names."""
        while (known := self._known(connection, new)) is None:
            names = named_blobs(new.spec)
            sizes = self._sizes_of(connection, names)
            # Where another server submits under this key at the same time, this waits for it and inserts nothing.
            inserted = connection.execute(self._insert, {**row, "bytes": row["bytes"] + sizes}).first()  # type: ignore[operator]
            if inserted is None:
                continue
            if names:
                refs = [{"job_id": inserted.id, "sha256": sha256, "tenant": new.tenant} for sha256 in names]
                connection.execute(self._insert_refs, refs)
            return Submitted(id=inserted.id, existing=False, submitted_at=inserted.submitted_at)
        return known

    def request_cancel(self, connection: sa.Connection, tenant: str, job_id: int) -> None:
        """Mark it, unless it is marked or finished already."""
        if 0 < job_id <= LARGEST_ID:
            if connection.execute(self._request_cancel, {"job_id": job_id, "of_tenant": tenant}).rowcount:
                return
            if connection.execute(_exists, {"job_id": job_id, "tenant": tenant}).first() is not None:
                return
        raise no_such_job(connection, tenant, job_id)

    @staticmethod
    def assign_module(
        connection: sa.Connection, job_ids: Sequence[int], *, module_sha256: str, build_id: int, cached: bool
    ) -> None:
        """These are queued now, with this module; again where an earlier module was lost. What has ended stays so."""
        rows = [{"job_id": id_, "module": module_sha256, "build": build_id, "cached": cached} for id_ in job_ids]
        if rows:
            connection.execute(_assign_module, rows)

    @staticmethod
    def finish(connection: sa.Connection, finished: Sequence[FinishedJob]) -> None:
        """The last word on each; a job that has one keeps it."""
        rows = [_finish_row(job) for job in finished]
        if rows:
            connection.execute(_finish, rows)

    @staticmethod
    def _known(connection: sa.Connection, new: NewJob) -> Submitted | None:
        """The job that has this idempotency key."""
        if new.idempotency_key is None:
            return None
        named = {"tenant": new.tenant, "idempotency_key": new.idempotency_key}
        known = connection.execute(_find_key, named).first()
        if known is None:
            return None
        if known.request_sha256 != new.request_sha256:
            raise IdempotencyConflict(
                f"the idempotency key {new.idempotency_key!r} was used for another request, job {known.id}",
                hint=f"look at that job: wasmgrid status {known.id} · or use a new key",
                field="idempotency_key",
            )
        return Submitted(id=known.id, existing=True, submitted_at=known.submitted_at)


def job_row(new: NewJob) -> dict[str, object]:
    """The row of a new job. Raises `InvalidField` for text that is not Unicode (a lone surrogate)."""
    if new.state in FINISHED or new.state is JobState.RUNNING:
        raise InvalidField(f"a new job cannot be {new.state}", field="state")
    try:
        spec = _encode(new.spec)
        (new.idempotency_key or "").encode()
    except UnicodeEncodeError as error:
        raise InvalidField(f"text that is not Unicode cannot be kept: {error.reason}") from None
    return {
        "tenant": new.tenant,
        "name": new.spec.name,
        "state": new.state.value,
        "spec": spec,
        "task_count": new.task_count,
        "module_sha256": new.module_sha256 or new.spec.module_sha256,
        "idempotency_key": new.idempotency_key,
        "request_sha256": new.request_sha256,
        "message": "",
        "bytes": len(spec),
    }


def named_blobs(spec: StoredSpec) -> set[str]:
    """The blobs that must stay while the job does; its module is in a column of its own."""
    names = {given.sha256 for given in spec.inputs}
    if spec.source is not None:
        names.add(spec.source.sha256)
    if spec.stdin is not None and spec.stdin.sha256 is not None:
        names.add(spec.stdin.sha256)
    return names


def _finish_row(job: FinishedJob) -> dict[str, object]:
    return {
        "job_id": job.job_id,
        "to_state": job.state.value,
        "started": job.started_at,
        "finished": job.finished_at,
        "words": job.message,
        "build": job.build_id,
        "cached": job.build_cached,
    }
