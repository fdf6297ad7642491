"""A grid with a million jobs answers as one with ten: no question reads a whole table. Asked of SQLite's planner."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from tests.conformance.questions import Seen, ask_everything, watch
from tests.conformance.samples import MODULE, TENANT, FileAdapter, calls, job, result

from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store

# Sums over everything for the bound on sizes, from an index alone; workers, writers, credentials and tables are few.
MAY_SCAN = re.compile(
    r"SCAN (jobs|modules) .*sum\(|"
    r"SCAN (workers|writers|credentials|sqlite_sequence|CONSTANT ROW|\d+ CONSTANT ROWS|anon_\d+|\(subquery-\d+\))"
)


def test_no_question_reads_a_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = []

    async def use(store: Store) -> None:
        nonlocal seen
        seen = watch(store, monkeypatch)
        await ask_everything(store)

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


def test_a_search_by_name_reads_no_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = []

    async def search(store: Store) -> None:
        nonlocal seen
        await store.submit(job())
        seen = watch(store, monkeypatch)
        await store.jobs(TENANT, name="nothing")
        await store.jobs(TENANT, name="nothing", states=[JobState.FAILED, JobState.QUEUED])

    FileAdapter(tmp_path).run(search)
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "db.sqlite3")) as connection:
        for statement, parameters in seen[1::2]:
            plans = [plan for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            searched = [plan for plan in plans if "tenant=?" in plan]
            assert searched
            assert all("COVERING INDEX" in plan for plan in searched), plans


def test_a_result_does_not_cost_more_the_more_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement on results says of which tasks: none goes through all those of a job."""
    seen: Seen = []

    async def record(store: Store) -> None:
        nonlocal seen
        term = await store.lead("s1")
        array = (await store.submit(job(StoredSpec(array="0-999", module_sha256=MODULE), task_count=1000))).id
        seen = watch(store, monkeypatch)
        await store.record(term, results=[result(array, 500)], ranges=[calls(array, 0, 100)])
        await store.results(TENANT, array, after=1)
        await store.tasks(TENANT, array, after_index=7, limit=10)
        await store.result(TENANT, array, 50)
        await store.sample(TENANT, array, 10)
        await store.task_counts(array)

    FileAdapter(tmp_path).run(record)
    plans = []
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "db.sqlite3")) as connection:
        for statement, parameters in seen:
            if re.match(r"SELECT|UPDATE", statement):
                explained = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += [plan for *_, plan in explained if re.match("SEARCH (results|before)", plan)]
    assert len(plans) > 8
    first_only = "SEARCH results USING COVERING INDEX"  # whether there is any at all
    assert [plan for plan in plans if plan.endswith("(job_id=?)") and not plan.startswith(first_only)] == []
