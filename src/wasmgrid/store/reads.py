"""What can be asked of the store: the half of `Store` that writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.job import Stats, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import Run
from wasmgrid.store import builds, grid, listing, queries, sweep, taskmap, tasks
from wasmgrid.store.database import Database
from wasmgrid.store.leadership import Leaderships
from wasmgrid.store.readers import Readers
from wasmgrid.store.rows import (
    DEFAULT_TENANT,
    BuildRow,
    CredentialRow,
    EndedAttempt,
    JobQuery,
    JobRow,
    JobsPage,
    Leadership,
    ModuleRow,
    OpenJob,
    ResultsPage,
    WorkerRow,
)
from wasmgrid.store.sign_ins import SignIns

WHOLE_JOB_S = 60.0  # for questions about all tasks of jobs, of which there may be millions


class Reads:
    """Questions. All raise `Unavailable` where the database fails, `TimedOutWaiting` past their time limit."""

    def __init__(self, database: Database) -> None:
        self._now = database.now
        self._readers = Readers(database)
        self._samples = tasks.Samples(database)
        self._task_maps = taskmap.TaskMaps(database)
        self._leaderships = Leaderships(database)
        self._sign_ins = SignIns(database.now)

    async def leadership(self) -> Leadership | None:
        """Who leads, or led last."""
        return await self._readers.run(self._leaderships.look)

    async def job(self, tenant: str, job_id: int) -> JobRow:
        """One job; raises `JobNotFound`."""
        return await self._readers.run(lambda connection: queries.job(connection, tenant, job_id))

    async def latest_id(self, tenant: str) -> int | None:
        """The number of a tenant's newest job."""
        return await self._readers.run(lambda connection: queries.latest_id(connection, tenant))

    async def jobs_by_state(self, tenant: str) -> dict[JobState, int]:
        """How many jobs a tenant has in each state that is kept (none runs there); it looks at all."""
        ask = partial(queries.by_state, tenant=tenant)
        return await self._readers.run(ask, time_limit_s=WHOLE_JOB_S)

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

    async def list_jobs(self, tenant: str, asked: JobQuery) -> JobsPage:
        """A page of a tenant's jobs; it takes about a second at the longest, however many there are."""
        return await self._readers.run(partial(listing.listed, tenant=tenant, asked=asked))

    async def unfinished(self, *, after_id: int = 0, limit: int = 1000) -> list[OpenJob]:
        """Every tenant's unfinished jobs above `after_id`, oldest first."""
        ask = partial(queries.unfinished, database_now=self._now, after_id=after_id, limit=limit)
        return await self._readers.run(ask, time_limit_s=WHOLE_JOB_S)

    async def open_ids(self, *, after_id: int, limit: int) -> list[tuple[int, bool]]:
        """(number, whether its end was asked for) of every tenant's unfinished jobs above `after_id`, in order."""
        return await self._readers.run(partial(sweep.open_ids, after_id=after_id, limit=limit))

    async def ended(self, job_ids: Collection[int]) -> set[int]:
        """Those of these jobs that are finished, or gone."""
        return await self._readers.run(partial(sweep.ended, job_ids=job_ids))

    async def result(self, tenant: str, job_id: int, index: int = 0) -> TaskResult | None:
        """The result of one task, where it has one."""
        return await self._readers.run(lambda connection: tasks.result(connection, tenant, job_id, index))

    async def results(
        self, tenant: str, job_id: int, *, after: int = 0, limit: int = 1000, failed: bool = False
    ) -> ResultsPage:
        """Results as they were recorded, also while the job runs: at most `limit` rows, some of many tasks.

        `after` is the cursor of the page before, 0 at first; a page without results says that there are no more yet.
        `failed`: only those that did not succeed.
        """
        page = partial(tasks.in_order, tenant=tenant, job_id=job_id, after=after, limit=limit, failed=failed)
        return await self._readers.run(page)

    async def tasks(
        self,
        tenant: str,
        job_id: int,
        *,
        failed: bool = False,
        outcome: OutcomeKind | None = None,
        after_index: int = -1,
        limit: int = 100,
    ) -> list[TaskResult]:
        """The results of tasks above `after_index`, by index, at most `limit`; fewer where they are large.

        `failed`: only those that did not succeed; `outcome`: only those that ended so.
        """
        page = partial(
            tasks.by_index,
            tenant=tenant,
            job_id=job_id,
            failed=failed,
            outcome=outcome,
            after_index=after_index,
            limit=limit,
        )
        return await self._readers.run(page)

    async def failed_runs(self, tenant: str, job_id: int) -> list[Run]:
        """The tasks that ended without success (failed, cancelled, lost), as runs of indexes."""
        ask = partial(tasks.failed_runs, tenant=tenant, job_id=job_id)
        return await self._readers.run(ask, time_limit_s=WHOLE_JOB_S)

    async def sample(self, tenant: str, job_id: int, n: int) -> list[Stats]:
        """What about `n` of the tasks that have a result cost, evenly spread over the indexes."""
        return await self._readers.run(partial(self._samples.of, tenant=tenant, job_id=job_id, n=n))

    async def task_map(self, tenant: str, job_id: int, rounds: Sequence[Sequence[int]]) -> taskmap.Looked:
        """Some results, round after round of indexes for about a second, and what did not succeed."""
        return await self._readers.run(partial(self._task_maps.of, tenant=tenant, job_id=job_id, rounds=rounds))

    async def task_counts(self, job_id: int) -> dict[str, int]:
        """How many tasks succeeded, failed and were cancelled; a key is there where its count is above 0."""
        return await self._readers.run(lambda connection: tasks.counts(connection, job_id))

    async def attempts(
        self, tenant: str, job_id: int, *, after: tuple[int, int] = (-1, 0), limit: int
    ) -> list[EndedAttempt]:
        """Up to `limit` attempts at a job's tasks that ended without a result, by (index, attempt)."""
        return await self._readers.run(
            lambda connection: queries.ended_attempts(connection, tenant, job_id, after, limit)
        )

    async def latest_attempts(self, tenant: str, job_id: int, *, index: int | None, limit: int) -> list[EndedAttempt]:
        """The newest of these (of the task `index`, where one is named), the oldest of them first."""
        return await self._readers.run(
            lambda connection: queries.latest_attempts(connection, tenant, job_id, index, limit)
        )

    async def build(self, build_id: int) -> BuildRow | None:
        """One build."""
        return await self._readers.run(lambda connection: builds.build(connection, build_id))

    async def module(self, sha256: str, *, tenant: str = DEFAULT_TENANT) -> ModuleRow | None:
        """One module."""
        if not is_sha256(sha256):
            return None
        return await self._readers.run(lambda connection: builds.module(connection, tenant, sha256))

    async def workers(self) -> list[WorkerRow]:
        """Every worker that was heard of, by id; those that left long ago are pruned."""
        return await self._readers.run(grid.all_workers)

    async def workers_lost(self, within: timedelta) -> int:
        """How many workers were lost so short ago, by the database's clock, and did not come back."""
        return await self._readers.run(lambda connection: grid.lost(connection, self._now, within))

    async def credentials(self) -> list[CredentialRow]:
        """Every credential, those that were revoked too, by name and age."""
        return await self._readers.run(grid.all_credentials)

    async def is_session(self, sha256: str) -> bool:
        """Whether a browser's session has this digest, and is not over."""
        return await self._readers.run(lambda connection: self._sign_ins.is_session(connection, sha256))
