"""What goes when: finished jobs by age and size, then builds and modules, then the blobs that no row names any more.

Rows go before their blobs, so a crash between leaves a blob too many, never one too few. Whether a row or a blob is
named is asked again in the transaction that deletes it: what a job came to name meanwhile is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import sqlalchemy as sa

from wasmgrid.core.interpreters import INTERPRETERS
from wasmgrid.store.blobs import Blobs
from wasmgrid.store.grid import delete_workers, is_gone
from wasmgrid.store.readers import Readers
from wasmgrid.store.rows import PrunePolicy, PruneReport
from wasmgrid.store.schema import EPOCH, attempts, blob_refs, builds, jobs, modules, results, tallies, workers, writers
from wasmgrid.store.writer import Writer

PAGE = 100  # rows, or files, that one transaction removes: other writes wait for it
SLICE = 2000  # rows of results that one transaction removes
READ_LIMIT_S = 60.0  # sums over everything that is kept take their time
WRITERS_AGE_S = 86400.0  # a server that wrote nothing for so long is gone

_ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)

# Against other servers: whoever is about to name one of these is waited for, and then seen.
_lock_jobs = sa.select(jobs.c.id).where(jobs.c.id.in_(_ids)).order_by(jobs.c.id).with_for_update()
_lock_builds = sa.select(builds.c.id).where(builds.c.id.in_(_ids)).order_by(builds.c.id).with_for_update()


def _slice(table: sa.Table, job_id: sa.Column[Any], *conditions: sa.ColumnElement[bool]) -> sa.Delete:
    """Deletes at most SLICE rows of these jobs."""
    key = sa.tuple_(*table.primary_key.columns)
    some = sa.select(*table.primary_key.columns).where(job_id.in_(_ids), *conditions).limit(SLICE)
    return sa.delete(table).where(key.in_(some))


_slices = (
    _slice(results, results.c.job_id),
    _slice(blob_refs, blob_refs.c.job_id),
    _slice(attempts, attempts.c.subject_id, attempts.c.kind == "run"),
)

Delete = Callable[[sa.Connection, Sequence[Any]], int]

_unfinished_job_names_source = sa.exists().where(
    blob_refs.c.sha256 == builds.c.source_sha256, blob_refs.c.job_id == jobs.c.id, jobs.c.finished_at.is_(None)
)
_build_is_free = ~sa.exists().where(jobs.c.build_id == builds.c.id) & ~_unfinished_job_names_source
_module_is_free = ~sa.exists().where(jobs.c.module_sha256 == modules.c.sha256) & ~sa.exists().where(
    builds.c.module_sha256 == modules.c.sha256
)


def _page(
    key: sa.Column[Any], at: sa.Column[datetime], size: Any, *conditions: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    """The oldest PAGE rows that may go, after those of the page before."""
    after = sa.tuple_(at, key) > sa.tuple_(sa.bindparam("at", type_=at.type), sa.bindparam("key", type_=key.type))
    columns = (key.label("key"), at.label("at"), sa.func.coalesce(size, 0).label("size"))
    return sa.select(*columns).where(at < sa.bindparam("before"), after, *conditions).order_by(at, key).limit(PAGE)


_old_jobs = _page(jobs.c.id, jobs.c.finished_at, jobs.c.bytes)
_old_builds = _page(builds.c.id, builds.c.used_at, modules.c.size, _build_is_free).select_from(
    builds.outerjoin(modules, (modules.c.tenant == builds.c.tenant) & (modules.c.sha256 == builds.c.module_sha256))
)
_old_modules = _page(modules.c.sha256, modules.c.used_at, modules.c.size, _module_is_free)
_old_workers = _page(workers.c.id, workers.c.changed_at, sa.literal(0), is_gone)

_jobs_bytes = sa.select(sa.func.sum(jobs.c.bytes)).where(jobs.c.finished_at.is_not(None))
_modules_bytes = sa.select(sa.func.sum(modules.c.size))
_no_bytes = sa.select(sa.literal(0))

_sha256 = sa.bindparam("sha256", type_=sa.String)
# One digest at a time: the first row that names it is enough, be there a million.
_is_named = sa.select(
    sa.or_(
        *(
            sa.exists().where(column == _sha256)
            for column in (
                modules.c.sha256,
                builds.c.module_sha256,
                builds.c.source_sha256,
                jobs.c.module_sha256,
                blob_refs.c.sha256,
            )
        )
    )
)


class Pruner:
    """One run of `prune` under `policy`."""

    def __init__(self, writer: Writer, readers: Readers, blobs: Blobs, policy: PrunePolicy, now: datetime) -> None:
        """`now` is by the database's clock."""
        self._writer = writer
        self._readers = readers
        self._blobs = blobs
        self._policy = policy
        self._now = now

    async def run(self) -> PruneReport:
        """Remove what may go. Raises `Unavailable` half-way where the store fails; what was removed stays so."""
        policy = self._policy
        went_jobs = await self._rows(_old_jobs, _jobs_bytes, policy.results_age_s, policy.results_bytes, delete_jobs)
        build_bounds = (_modules_bytes, policy.builds_age_s, policy.builds_bytes)
        went_builds = await self._rows(_old_builds, *build_bounds, delete_builds)
        went_modules = await self._rows(_old_modules, *build_bounds, delete_modules)
        went_workers = await self._rows(_old_workers, _no_bytes, policy.workers_age_s, None, delete_workers)
        if not policy.dry_run:
            await self._writer.run(partial(_forget_writers, before=self._ago(WRITERS_AGE_S)))
        went_blobs, size = await self._orphans()
        return PruneReport(
            jobs=went_jobs,
            builds=went_builds,
            modules=went_modules,
            workers=went_workers,
            blobs=went_blobs,
            bytes=size,
            dry_run=policy.dry_run,
        )

    async def _rows(
        self,
        page: sa.Select[Any],
        sum_of_bytes: sa.Select[Any],
        age_s: float | None,
        most_bytes: int | None,
        delete: Delete,
    ) -> int:
        """Oldest first, delete while a row is over the age or all of them over the size; returns how many went."""
        held = await self._read(lambda connection: connection.execute(sum_of_bytes).scalar() or 0)
        over_age = EPOCH if age_s is None else self._ago(age_s)
        cursor: dict[str, Any] = {"before": self._ago(self._policy.grace_s), "at": EPOCH, "key": _least(page)}
        went = 0
        while rows := await self._read(partial(_fetch, page, dict(cursor))):
            condemned = []
            for row in rows:
                if row.at < over_age or (most_bytes is not None and held > most_bytes):
                    condemned.append(row.key)
                    held -= row.size
            if self._policy.dry_run:
                went += len(condemned)
            elif condemned:
                if delete is delete_jobs:
                    await _empty(self._writer, condemned)
                went += await self._writer.run(_deletion(delete, condemned))
            if len(condemned) < len(rows):
                break
            cursor |= {"at": rows[-1].at, "key": rows[-1].key}
        return went

    async def _orphans(self) -> tuple[int, int]:
        """Remove the blobs that no row names; returns how many, and their bytes."""
        old = await self._read(lambda _: list(self._blobs.scan(older_than_s=self._policy.grace_s)))
        went = went_bytes = 0
        for some in _batches(old):
            if self._policy.dry_run:
                named = await self._read(partial(_named_of, digests=[sha256 for sha256, _ in some]))
                sizes = [size for sha256, size in some if sha256 not in named]
            else:
                sizes = await self._writer.run(partial(self._remove, digests=[sha256 for sha256, _ in some]))
            went += len(sizes)
            went_bytes += sum(sizes)
        return went, went_bytes

    def _remove(self, connection: sa.Connection, digests: Sequence[str]) -> list[int]:
        """In the writer's thread, so that no job can come to name a blob between the question and its removal."""
        named = _named_of(connection, digests)
        loose = [sha256 for sha256 in digests if sha256 not in named]
        return self._blobs.remove(connection, loose, older_than_s=self._policy.grace_s)

    async def _read(self, query: Callable[[sa.Connection], Any]) -> Any:
        return await self._readers.run(query, time_limit_s=READ_LIMIT_S)

    def _ago(self, seconds: float) -> datetime:
        return max(EPOCH, self._now - timedelta(seconds=min(seconds, 1e9)))


async def forget(writer: Writer, job_id: int) -> None:
    """Delete one finished job with all that hangs on it; its blobs go with the next prune."""
    await _empty(writer, [job_id])
    await writer.run(_deletion(delete_jobs, [job_id]))


async def _empty(writer: Writer, job_ids: Sequence[int]) -> None:
    """Take away most of what hangs on these jobs, slice by slice: other writes go between."""
    for some in _slices:
        while await writer.run(partial(_delete_slice, some, job_ids)) == SLICE:
            pass


def _delete_slice(some: sa.Delete, job_ids: Sequence[int], connection: sa.Connection) -> int:
    return connection.execute(some, {"ids": list(job_ids)}).rowcount


def delete_jobs(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Delete finished jobs with all that hangs on them."""
    of_these = {"ids": list(ids)}
    connection.execute(_lock_jobs, of_these)
    connection.execute(sa.delete(results).where(results.c.job_id.in_(_ids)), of_these)
    connection.execute(sa.delete(tallies).where(tallies.c.job_id.in_(_ids)), of_these)
    connection.execute(sa.delete(blob_refs).where(blob_refs.c.job_id.in_(_ids)), of_these)
    connection.execute(sa.delete(attempts).where(attempts.c.kind == "run", attempts.c.subject_id.in_(_ids)), of_these)
    return connection.execute(sa.delete(jobs).where(jobs.c.id.in_(_ids)), of_these).rowcount


def delete_builds(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Delete those of these builds that no job names."""
    connection.execute(_lock_builds, {"ids": list(ids)})
    free = sa.delete(builds).where(builds.c.id.in_(_ids), _build_is_free).returning(builds.c.id)
    gone = connection.execute(free, {"ids": list(ids)}).scalars().all()
    of_gone = sa.delete(attempts).where(attempts.c.kind == "build", attempts.c.subject_id.in_(_ids))
    connection.execute(of_gone, {"ids": list(gone)})
    return len(gone)


def delete_modules(connection: sa.Connection, ids: Sequence[str]) -> int:
    """Delete those of these modules that no job and no build names."""
    free = sa.delete(modules).where(modules.c.sha256.in_(_ids), _module_is_free)
    return connection.execute(free, {"ids": list(ids)}).rowcount


def _forget_writers(connection: sa.Connection, before: datetime) -> None:
    connection.execute(sa.delete(writers).where(writers.c.committed_at < before))


def _deletion(delete: Delete, ids: Sequence[Any]) -> Callable[[sa.Connection], int]:
    return lambda connection: delete(connection, ids)


def _fetch(page: sa.Select[Any], values: dict[str, Any], connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    return connection.execute(page, values).all()


def _named_of(connection: sa.Connection, digests: Sequence[str]) -> set[str]:
    """Those of these blobs that some row names, and the interpreters, which bundles name."""
    return {
        sha256
        for sha256 in digests
        if sha256 in INTERPRETERS or connection.execute(_is_named, {"sha256": sha256}).scalar_one()
    }


def _least(page: sa.Select[Any]) -> int | str:
    """What comes before every key of this page."""
    return "" if isinstance(page.selected_columns["key"].type, sa.String | sa.Text) else 0


def _batches(found: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    rest = iter(found)
    while some := list(islice(rest, PAGE)):
        yield some
