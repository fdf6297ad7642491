"""The store as the other stages see it: one async object over the writer, the readers and the blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from wasmgrid.core.errors import InvalidField, WasmgridError
from wasmgrid.core.job import BuildResult, TaskRange, TaskResult
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.store import builds, grid, prune
from wasmgrid.store.adapters import adapters
from wasmgrid.store.blobs import Blobs
from wasmgrid.store.database import Database
from wasmgrid.store.files import Reserve, as_unavailable
from wasmgrid.store.jobs import Jobs
from wasmgrid.store.leadership import is_free
from wasmgrid.store.migrate import upgrade
from wasmgrid.store.reads import Reads
from wasmgrid.store.record import Record, Recorder
from wasmgrid.store.results import Results
from wasmgrid.store.rows import (
    DEFAULT_TENANT,
    BuildRow,
    EndedAttempt,
    FinishedJob,
    NewBuild,
    NewJob,
    PrunePolicy,
    PruneReport,
    Refused,
    Submitted,
)
from wasmgrid.store.submissions import Submission, Submissions, checked
from wasmgrid.store.writer import Writer

T = TypeVar("T")


class Store(Reads):
    """What must outlive every process: jobs, results, builds, modules, workers' rows, and the blobs that they name.

    Several servers may have the same store open where it is a PostgreSQL. A write returns once it is on the disk.
    Everything here raises `Unavailable` where the database or the disk fails (then nothing was kept), and reads raise
    `TimedOutWaiting` past their time limit. Writes of the leader carry its term and raise `Superseded` once another
    leads. Use it from the event loop that opened it.
    """

    def __init__(self, database: Database, blobs: Blobs, reserve: Reserve) -> None:
        super().__init__(database)
        self.blobs = blobs
        self._reserve = reserve
        self._writer = Writer(database)
        # Of a database that several servers write to: neither renewals nor submissions wait for results, or for locks
        # that these wait for.
        self._requests = Writer(database) if database.shared else self._writer
        self._leading = Writer(database) if database.shared else self._writer
        self._jobs = Jobs(database)
        self._submissions = Submissions(database, blobs.sizes_now)
        self._recorder = Recorder(self._leaderships, Results(database), self._jobs)
        self._builds = builds.Builds(database.insert)
        self._grid = grid.Grid(database.insert, database.now)

    @classmethod
    async def open(cls, home: Path, *, url: str | None = None) -> Store:
        """The store under `home`, made or migrated as needed.

        `url` puts the database elsewhere: sqlite:///FILE, or postgresql://... which holds the blobs as well and may be
        shared by several servers. Raises `InvalidField` for any other, `Unavailable` where it cannot be used.
        """
        directory = home / "store"
        database, blobs = adapters(directory, url)
        with as_unavailable():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(upgrade, database)
        await asyncio.to_thread(blobs.open)
        reserve = Reserve(directory / "reserve")
        await asyncio.to_thread(reserve.hold)
        return cls(database, blobs, reserve)

    async def close(self) -> None:
        """Commit what waits, interrupt what reads, let go of the files."""
        for writer in (self._writer, self._requests, self._leading):
            await writer.close()
        await self._readers.close()
        await self.blobs.close()

    # Requests

    async def submit(self, new: NewJob) -> Submitted:
        """Keep a job. Raises `IdempotencyConflict` where its key was used for another request."""
        (answer,) = await self.submit_many([new])
        if isinstance(answer, WasmgridError):
            raise answer
        return answer

    async def submit_many(self, news: Sequence[NewJob]) -> list[Submitted | WasmgridError]:
        """Keep these jobs in one commit: for each, in order, the job or why it alone was not kept."""
        return await self._requests.run(Submission(self._submissions, [checked(new) for new in news]))

    async def request_cancel(self, tenant: str, job_id: int) -> None:
        """Note that a job shall be cancelled, for the leader to do; nothing changes where it is finished already."""
        await self._requests.run(lambda connection: self._jobs.request_cancel(connection, tenant, job_id))

    async def add_module(self, sha256: str, size: int, kind: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Note a module whose blob is there (or that it was used again)."""
        add = partial(self._builds.add_module, tenant=tenant, sha256=sha256, size=size, kind=kind, now=_now())
        await self._requests.run(add)

    async def add_credential(self, name: str, kind: str, public_key: str) -> None:
        """Let a worker or a server (`kind`) in by its public nkey; `InvalidField` where the name has one already."""
        grid.check_credential(name, kind, public_key)
        await self._requests.run(lambda connection: self._grid.add_credential(connection, name, kind, public_key))

    async def revoke_credential(self, name: str) -> None:
        """Let it in no more; its name may be given again. Raises `NotFound`."""
        await self._requests.run(lambda connection: self._grid.revoke_credential(connection, name))

    async def add_sign_in(self, sha256: str, kind: str, lasts_s: float) -> None:
        """Keep a link that signs a browser in, or the session of one that is (`kind`), by its secret's digest."""
        await self._requests.run(lambda connection: self._sign_ins.add(connection, sha256, kind, lasts_s))

    async def exchange_sign_in(self, link: str, session: str, lasts_s: float) -> bool:
        """Take a link and keep a session in its place: once, of all who try; False where there is no such link."""
        return await self._requests.run(lambda connection: self._sign_ins.exchange(connection, link, session, lasts_s))

    async def remove_sign_in(self, sha256: str) -> None:
        """Sign one browser out."""
        await self._requests.run(lambda connection: self._sign_ins.remove(connection, sha256))

    async def remove_sign_ins(self) -> int:
        """Sign every browser out, and void every link; how many they were."""
        return await self._requests.run(self._sign_ins.remove_all)

    # Who leads, by the database's clock

    async def lead(self, server_id: str) -> int:
        """Take the leadership, whoever has it; returns the new term, which is higher than every one before."""
        return await self._leading.run(lambda connection: self._leaderships.lead(connection, server_id))

    async def try_lead(self, server_id: str, *, stale_s: float) -> int | None:
        """Take the leadership where nobody has it, or its holder did not renew it for `stale_s`: the new term, or None.

        Of servers that try at the same time one gets it.
        """
        held = await self.leadership()
        if held is not None and not is_free(held, stale_s):
            return None  # seen without a write
        return await self._leading.run(lambda connection: self._leaderships.try_lead(connection, server_id, stale_s))

    async def renew_leadership(self, term: int) -> None:
        """Say that the leader of `term` leads still; raises `Superseded` where another does, or it gave it up."""
        await self._leading.run(lambda connection: self._leaderships.renew(connection, term))

    async def release_leadership(self, term: int) -> None:
        """Give the leadership up, so that another server takes it at once; nothing where `term` is over anyway."""
        await self._leading.run(lambda connection: self._leaderships.release(connection, term))

    # The leader's writes

    async def record(
        self,
        term: int,
        *,
        results: Sequence[TaskResult] = (),
        ranges: Sequence[TaskRange] = (),
        ended: Sequence[EndedAttempt] = (),
        finished: Sequence[FinishedJob] = (),
    ) -> Refused:
        """All of it or nothing. A task's first result and a job's first end stand, whatever comes later.

        Returns the tasks whose results were not recorded, because they have one, their job is over or they do not exist
        (any more); of a range the others are. Other words on what does not exist are dropped.
        """
        return await self._writer.run(
            Record(by=self._recorder, term=term, results=results, ranges=ranges, ended=ended, finished=finished)
        )

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

    async def save_worker(self, term: int, info: WorkerInfo, state: str, *, hold: str = "", note: str = "") -> None:
        """Keep what a worker says of itself, its state, whether it is held (cordoned, quarantined) and why."""
        await self._lead(term, lambda connection: self._grid.save_worker(connection, info, state, hold, note))

    # Keeping house

    async def prune(self, policy: PrunePolicy) -> PruneReport:
        """Remove what `policy` lets go; also where the disk is full."""
        now = await self._readers.run(lambda connection: connection.execute(sa.select(self._now)).scalar_one())
        pruner = prune.Pruner(self._writer, self._readers, self.blobs, policy, now)
        if policy.dry_run:
            return await pruner.run()
        await asyncio.to_thread(self._reserve.release)
        try:
            return await pruner.run()
        finally:
            await asyncio.to_thread(self._reserve.hold)

    async def forget(self, tenant: str, job_id: int) -> None:
        """Delete a finished job and its results; raises `JobNotFound`, or `InvalidField` where it is not finished."""
        row = await self.job(tenant, job_id)
        if row.finished_at is None:
            hint = f"cancel it first: wasmgrid cancel {job_id}"
            raise InvalidField(f"job {job_id} is {row.state}: it has not ended yet", hint=hint, field="job")
        await prune.forget(self._writer, job_id)

    async def _lead(self, term: int, operation: Callable[[sa.Connection], T]) -> T:
        """Write as the leader of `term`, and not at all once that is over."""

        def write(connection: sa.Connection) -> T:
            self._leaderships.check(connection, term)
            return operation(connection)

        return await self._writer.run(write)


def _now() -> datetime:
    return datetime.now(UTC)
