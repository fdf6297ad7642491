"""What is written of a job after its submission: the wish to cancel, its module, its end."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from wasmgrid.core.lifecycle import JobState
from wasmgrid.store.database import Database
from wasmgrid.store.queries import LARGEST_ID, no_such_job
from wasmgrid.store.rows import FinishedJob
from wasmgrid.store.schema import Moment, Words, jobs, micros, plain, results, tallies

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
        started_at=sa.bindparam("started", type_=Moment),
        finished_at=sa.bindparam("finished", type_=Moment),
        message=sa.bindparam("words", type_=Words),
        build_id=sa.func.coalesce(sa.bindparam("build", type_=jobs.c.build_id.type), jobs.c.build_id),
        build_cached=sa.func.coalesce(sa.bindparam("cached", type_=sa.Boolean), jobs.c.build_cached),
        # Of an array, what its tally says: to sum a million rows would hold up every other write.
        bytes=jobs.c.bytes
        + sa.func.coalesce(
            sa.select(tallies.c.bytes).where(tallies.c.job_id == sa.bindparam("job_id")).scalar_subquery(),
            sa.select(sa.func.sum(results.c.bytes)).where(results.c.job_id == sa.bindparam("job_id")).scalar_subquery(),
            0,
        ),
    )
)


class Jobs:
    """Writes of jobs that there are, as functions over a connection."""

    def __init__(self, database: Database) -> None:
        self._finish = database.prepared(
            _finish, "job_id", "to_state", "started", "finished", "words", "build", "cached"
        )
        self._request_cancel = (
            sa.update(jobs)
            .where(
                jobs.c.id == sa.bindparam("job_id"),
                jobs.c.tenant == sa.bindparam("of_tenant"),
                jobs.c.finished_at.is_(None),
                jobs.c.cancel_requested_at.is_(None),
            )
            .values(cancel_requested_at=database.now)
        )

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

    def finish(self, connection: sa.Connection, finished: Sequence[FinishedJob]) -> None:
        """The last word on each; a job that has one keeps it."""
        self._finish.change_each(connection, [_finish_row(job) for job in finished])


def _finish_row(job: FinishedJob) -> tuple[object, ...]:
    started = None if job.started_at is None else micros(job.started_at)
    words = plain(job.message)
    return job.job_id, job.state.value, started, micros(job.finished_at), words, job.build_id, job.build_cached
