"""A grid with a million jobs answers as one with ten: no question reads a whole table. Asked of SQLite's planner."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.conformance.samples import (
    MODULE,
    TENANT,
    FileAdapter,
    building_job,
    built,
    finished,
    finished_job,
    job,
    new_build,
    result,
    worker,
)

from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store
from wasmgrid.store.rows import PrunePolicy

Seen = list[tuple[str, Any]]

# Sums over everything for the bound on sizes, from an index alone; workers and writers are few.
MAY_SCAN = re.compile(
    r"SCAN (jobs|modules) .*sum\(|SCAN workers|SCAN writers|SCAN CONSTANT ROW|SCAN (anon_\d+|\(subquery-\d+\))"
)


def watch(store: Store) -> Seen:
    """Every statement that the store will run, with its values."""
    seen: Seen = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        seen.append((statement, parameters[0] if many else parameters))

    for engine in (store._readers._engine, store._writer._engine):
        sa.event.listen(engine, "before_cursor_execute", note)
    return seen


def test_no_question_reads_a_whole_table(tmp_path: Path) -> None:
    seen: Seen = []

    async def use(store: Store) -> None:
        nonlocal seen
        seen = watch(store)
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
        await finished_job(store, term)
        for states in ([], [JobState.QUEUED], list(JobState)):
            for name in (None, "hello"):
                await store.jobs(TENANT, states=states, name=name, before_id=100)
                await store.jobs(TENANT, states=states, name=name)
        await store.job(TENANT, job_id)
        await store.latest_id(TENANT)
        await store.result(TENANT, job_id)
        await store.task_counts(job_id)
        await store.attempts(TENANT, job_id)
        await store.unfinished()
        await store.build(build.id)
        await store.module(MODULE)
        await store.workers()
        await store.blobs.put(b"loose")
        await store.prune(PrunePolicy(results_age_s=0, builds_age_s=0, grace_s=0))

    FileAdapter(tmp_path).run(use)
    scans = []
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "db.sqlite3")) as connection:
        for statement, parameters in seen:
            if not re.match(r"SELECT|UPDATE|DELETE|INSERT", statement):
                continue
            for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                if plan.startswith("SCAN") and not MAY_SCAN.match(f"{plan} {statement}"):
                    scans.append((plan, statement))
    assert len(seen) > 50
    assert scans == []


def test_a_search_by_name_reads_no_spec(tmp_path: Path) -> None:
    seen: Seen = []

    async def search(store: Store) -> None:
        nonlocal seen
        await store.submit(job())
        seen = watch(store)
        await store.jobs(TENANT, name="nothing")
        await store.jobs(TENANT, name="nothing", states=[JobState.FAILED, JobState.QUEUED])

    FileAdapter(tmp_path).run(search)
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "db.sqlite3")) as connection:
        for statement, parameters in seen[1::2]:
            plans = [plan for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            searched = [plan for plan in plans if "tenant=?" in plan]
            assert searched
            assert all("COVERING INDEX" in plan for plan in searched), plans
