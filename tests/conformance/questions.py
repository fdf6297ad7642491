"""Everything that is asked of a store, once each, to look at how a database would answer it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from tests.conformance.samples import (
    MODULE,
    NOW,
    TENANT,
    building_job,
    built,
    calls,
    ended,
    finished,
    finished_job,
    job,
    new_build,
    result,
    worker,
)

from wasmgrid.core.job import Lines, StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind, exited
from wasmgrid.store import Store, prepared, sqlite
from wasmgrid.store.postgres_blobs import RowBlobs
from wasmgrid.store.rows import JobQuery, JobSort, PrunePolicy

Seen = list[tuple[str, Any]]

_ALL = frozenset(JobState)
LISTS = [
    JobQuery(),
    JobQuery(states=_ALL, after=(100, 0), since=NOW, until=NOW),
    JobQuery(sort=JobSort.OLDEST, after=(1, 0)),
    JobQuery(sort=JobSort.FINISHED),
    JobQuery(sort=JobSort.FINISHED, after=(100, 10**18), states=_ALL, search="rust", worker="w1"),
    JobQuery(name="hell"),
    JobQuery(search="7", states=_ALL),
    JobQuery(language="rust", states=frozenset({JobState.QUEUED}), sort=JobSort.OLDEST),
    JobQuery(worker="w1"),
    JobQuery(ids=frozenset({1, 2, 3})),
]


def watch(store: Store, patch: pytest.MonkeyPatch) -> Seen:
    """Every statement that the store will run, with its values; `patch` until its end."""
    seen: Seen = []
    to_driver = prepared.execute

    def execute(connection: sa.Connection, dialect: Dialect, sql: str, values: Any = ()) -> Any:
        seen.append((sql, values))
        return to_driver(connection, dialect, sql, values)

    for module in (prepared, sqlite):  # those that have it
        patch.setattr(module, "execute", execute)

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        seen.append((statement, parameters[0] if many else parameters))

    engines = {user._engine for user in (store._readers, store._writer, store._requests, store._leading)}
    if isinstance(store.blobs, RowBlobs):
        engines.add(store.blobs._engine)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    return seen


async def ask_everything(store: Store) -> None:
    """Use every part of the facade."""
    term = await store.lead("s1")
    await store.save_worker(term, worker(), "joined")
    job_id = (await store.submit(job(idempotency_key="k", request_sha256="1" * 64))).id
    await store.submit(job(idempotency_key="k", request_sha256="1" * 64))
    waiting = (await store.submit(building_job())).id
    build = await store.open_build(term, new_build())
    await store.finish_build(term, built(build.id, MODULE, 6))
    await store.assign_module(term, [waiting], module_sha256=MODULE, build_id=build.id, cached=False)
    await store.request_cancel(TENANT, waiting)
    await store.record(term, results=[result(job_id)], finished=[finished(job_id)])
    await _ask_an_array(store, term)
    await finished_job(store, term)
    for states in ([], [JobState.QUEUED], list(JobState)):
        for name in (None, "hello"):
            await store.jobs(TENANT, states=states, name=name, before_id=100)
            await store.jobs(TENANT, states=states, name=name)
    for asked in LISTS:
        await store.list_jobs(TENANT, asked)
    await store.job(TENANT, job_id)
    await store.latest_id(TENANT)
    await store.jobs_by_state(TENANT)
    await store.workers_lost(timedelta(hours=1))
    await store.result(TENANT, job_id)
    await store.task_counts(job_id)
    await store.attempts(TENANT, job_id, limit=10)
    await store.latest_attempts(TENANT, job_id, index=0, limit=10)
    await store.unfinished()
    await store.build(build.id)
    await store.module(MODULE)
    await store.workers()
    await store.blobs.put(b"loose")
    await store.prune(PrunePolicy(results_age_s=0, builds_age_s=0, grace_s=0))
    await store.leadership()
    assert await store.try_lead("s2", stale_s=0.0) == term + 1
    await store.renew_leadership(term + 1)
    await store.release_leadership(term + 1)
    await store.add_credential("w", "worker", "UABC")
    await store.credentials()
    await store.revoke_credential("w")
    await store.open_ids(after_id=0, limit=10)
    await store.ended([job_id])
    sha256, _ = await store.blobs.put(b"kept")
    await store.blobs.read(sha256)
    await store.blobs.size(sha256)


async def _ask_an_array(store: Store, term: int) -> None:
    array = (await store.submit(job(StoredSpec(array="0-9", lines=Lines(sha256="1" * 64)), task_count=10))).id
    many = [result(array, 8, outcome=exited(1)), result(array, 9)]
    await store.record(term, results=many, ranges=[calls(array, 0, 4)], ended=[ended(array, index=5)])
    await store.unfinished()
    for failed in (False, True):
        await store.results(TENANT, array, after=1, failed=failed)
        await store.tasks(TENANT, array, failed=failed)
    await store.tasks(TENANT, array, outcome=OutcomeKind.TIMED_OUT)
    await store.result(TENANT, array, 3)
    await store.failed_runs(TENANT, array)
    await store.sample(TENANT, array, 3)
    await store.task_map(TENANT, array, [[0, 5], [3, 9]])
    await store.task_counts(array)
    await store.record(term, finished=[finished(array)])
