"""The store as the other stages see it: one async object over the writer, the readers and the blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.job import BuildResult, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.store import builds, grid, queries, sweep
from wasmgrid.store.blobs import Blobs
from wasmgrid.store.files import Reserve, as_unavailable
from wasmgrid.store.jobs import Jobs, job_row
from wasmgrid.store.migrate import upgrade
from wasmgrid.store.prune import Pruner
from wasmgrid.store.readers import Readers
from wasmgrid.store.results import Results
from wasmgrid.store.rows import (
    DEFAULT_TENANT,
    BuildRow,
    EndedAttempt,
    FinishedJob,
    JobRow,
    ModuleRow,
    NewBuild,
    NewJob,
    OpenJob,
    PrunePolicy,
    PruneReport,
    Submitted,
    WorkerRow,
)
from wasmgrid.store.sqlite import Sqlite
from wasmgrid.store.writer import Writer

T = TypeVar("T")


class Store:
    """What must outlive every process: jobs, results, builds, modules, workers' rows, and the blobs that they name.

    A write returns once it is on the disk. Everything here raises `Unavailable` where the database or the disk fails
    (then nothing was kept), and reads raise `TimedOutWaiting` past their time limit. Writes of the leader carry its
    term and raise `Superseded` once another leads. Use it from the event loop that opened it.
    """

    def __init__(self, database: Sqlite, blobs: Blobs, reserve: Reserve) -> None:
        self.blobs = blobs
        self._reserve = reserve
        self._writer = Writer(database)
        self._readers = Readers(database)
        self._jobs = Jobs(database.insert, blobs.size_now)
        self._results = Results(database.insert)
        self._builds = builds.Builds(database.insert)
        self._grid = grid.Grid(database.insert, database.now)

    @classmethod
    async def open(cls, home: Path, *, url: str | None = None) -> Store:
        """The store under `home`, made or migrated as needed. `url` (sqlite:///FILE) puts the database elsewhere."""
        directory = home / "store"
        database = Sqlite(directory / "db.sqlite3" if url is None else _file_of(url))
        blobs = Blobs(directory / "blobs")
        with as_unavailable():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(upgrade, database)
        await asyncio.to_thread(blobs.open)
        reserve = Reserve(directory / "reserve")
        await asyncio.to_thread(reserve.hold)
        return cls(database, blobs, reserve)

    async def close(self) -> None:
        """Commit what waits, interrupt what reads, let go of the files."""
        await self._writer.close()
        await self._readers.close()
        await self.blobs.close()

    # Requests

    async def submit(self, new: NewJob) -> Submitted:
        """Keep a job. Raises `IdempotencyConflict` where its key was used for another request."""
        now = _now()
        row = job_row(new, now)
        return await self._writer.run(lambda connection: self._jobs.submit(connection, new, row, now))

    async def request_cancel(self, tenant: str, job_id: int) -> None:
        """Note that a job shall be cancelled, for the leader to do; nothing changes where it is finished already."""
        now = _now()
        await self._writer.run(lambda connection: self._jobs.request_cancel(connection, tenant, job_id, now))

    async def add_module(self, sha256: str, size: int, kind: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Note a module whose blob is there (or that it was used again)."""
        add = partial(self._builds.add_module, tenant=tenant, sha256=sha256, size=size, kind=kind, now=_now())
        await self._writer.run(add)

    # The leader's writes

    async def lead(self, server_id: str) -> int:
        """Take the leadership; returns the new term, which is higher than every one before."""
        return await self._writer.run(lambda connection: self._grid.lead(connection, server_id))

    async def record(
        self,
        term: int,
        *,
        results: Sequence[TaskResult] = (),
        ended: Sequence[EndedAttempt] = (),
        finished: Sequence[FinishedJob] = (),
    ) -> set[tuple[int, int]]:
        """All of it or nothing. A task's first result and a job's first end stand, whatever comes later.

        Returns the (job id, index) of the results that were new. Words on jobs or indexes that do not exist (any more)
        are dropped.
        """

        def write(connection: sa.Connection) -> set[tuple[int, int]]:
            fresh = self._results.record(connection, results, ended)
            self._jobs.finish(connection, finished)
            return fresh

        return await self._lead(term, write)

    async def open_build(self, term: int, new: NewBuild) -> BuildRow:
        """The build with this key: done, failed, or pending (made so where there was none, or its module is gone)."""
        found = await self._readers.run(lambda connection: builds.find_build(connection, new))
        module = found.module_sha256 if found is not None else None
        damaged = module is not None and await self.blobs.size(module) is None
        now = _now()
        usable = found is not None and not damaged and not builds.failed_long_ago(found, now)
        if found is not None and usable and now - found.used_at < builds.USED_EXACT_TO:
            return found
        return await self._lead(
            term, lambda connection: self._builds.open(connection, new, now, damaged=module if damaged else None)
        )

    async def finish_build(self, term: int, result: BuildResult) -> None:
        """Keep what a build gave: its module, or the source's fault; it stays pending where it is nobody's."""
        now = _now()
        await self._lead(term, lambda connection: self._builds.finish(connection, result, now))

    async def assign_module(
        self, term: int, job_ids: Sequence[int], *, module_sha256: str, build_id: int, cached: bool
    ) -> None:
        """Jobs that are building are queued now, with this module. `cached`: an earlier build's."""
        assign = partial(
            self._jobs.assign_module, job_ids=job_ids, module_sha256=module_sha256, build_id=build_id, cached=cached
        )
        await self._lead(term, assign)

    async def save_worker(self, term: int, info: WorkerInfo, state: str) -> None:
        """Keep what a worker says of itself, and its state."""
        now = _now()
        await self._lead(term, lambda connection: self._grid.save_worker(connection, info, state, now))

    # Reads

    async def job(self, tenant: str, job_id: int) -> JobRow:
        """One job; raises `JobNotFound`."""
        return await self._readers.run(lambda connection: queries.job(connection, tenant, job_id))

    async def latest_id(self, tenant: str) -> int | None:
        """The number of a tenant's newest job."""
        return await self._readers.run(lambda connection: queries.latest_id(connection, tenant))

    async def jobs(
        self,
        tenant: str,
        *,
        states: Collection[JobState] = (),
        name: str | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[JobRow]:
        """A tenant's jobs, newest first, below `before_id`: of any of `states` (none: all), with `name` in their name.

        States are those that are kept: an unfinished job is building or queued, never running.
        """
        listed = partial(queries.listed, tenant=tenant, states=states, name=name, before_id=before_id, limit=limit)
        return await self._readers.run(listed)

    async def unfinished(self, *, after_id: int = 0, limit: int = 1000) -> list[OpenJob]:
        """Every tenant's unfinished jobs above `after_id`, oldest first."""
        return await self._readers.run(partial(queries.unfinished, after_id=after_id, limit=limit))

    async def open_ids(self, *, after_id: int, limit: int) -> list[tuple[int, bool]]:
        """(number, whether its end was asked for) of every tenant's unfinished jobs above `after_id`, in order."""
        return await self._readers.run(partial(sweep.open_ids, after_id=after_id, limit=limit))

    async def ended(self, job_ids: Collection[int]) -> set[int]:
        """Those of these jobs that are finished, or gone."""
        return await self._readers.run(partial(sweep.ended, job_ids=job_ids))

    async def result(self, tenant: str, job_id: int, index: int = 0) -> TaskResult | None:
        """The result of one task, where it has one."""
        return await self._readers.run(lambda connection: queries.result(connection, tenant, job_id, index))

    async def task_counts(self, job_id: int) -> dict[str, int]:
        """How many tasks succeeded, failed and were cancelled; a key is there where its count is above 0."""
        return await self._readers.run(lambda connection: queries.task_counts(connection, job_id))

    async def attempts(self, tenant: str, job_id: int) -> list[EndedAttempt]:
        """The attempts at a job's tasks that ended without a result, in order."""
        return await self._readers.run(lambda connection: queries.ended_attempts(connection, tenant, job_id))

    async def build(self, build_id: int) -> BuildRow | None:
        """One build."""
        return await self._readers.run(lambda connection: builds.build(connection, build_id))

    async def module(self, sha256: str, *, tenant: str = DEFAULT_TENANT) -> ModuleRow | None:
        """One module."""
        return await self._readers.run(lambda connection: builds.module(connection, tenant, sha256))

    async def workers(self) -> list[WorkerRow]:
        """Every worker that was ever heard of, by id."""
        return await self._readers.run(grid.all_workers)

    # Keeping house

    async def prune(self, policy: PrunePolicy) -> PruneReport:
        """Remove what `policy` lets go; also where the disk is full."""
        pruner = Pruner(self._writer, self._readers, self.blobs, policy)
        if policy.dry_run:
            return await pruner.run()
        await asyncio.to_thread(self._reserve.release)
        try:
            return await pruner.run()
        finally:
            await asyncio.to_thread(self._reserve.hold)

    async def _lead(self, term: int, operation: Callable[[sa.Connection], T]) -> T:
        """Write as the leader of `term`, and not at all once that is over."""

        def write(connection: sa.Connection) -> T:
            grid.check_term(connection, term)
            return operation(connection)

        return await self._writer.run(write)


def _now() -> datetime:
    return datetime.now(UTC)


def _file_of(url: str) -> Path:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername != "sqlite" or not parsed.database:
        raise InvalidField("the store's URL must be sqlite:///FILE", hint="leave it out: the home holds the store")
    return Path(parsed.database)
