"""A grid with a million jobs answers as one with ten: no question reads a whole table. Asked of SQLite's planner."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from tests.conformance.questions import Seen, ask_everything, watch
from tests.conformance.samples import TENANT, FileAdapter, job

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
