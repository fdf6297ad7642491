"""No question reads a whole table in PostgreSQL either: asked of its planner, to which that is the last resort."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from tests.conformance.questions import Seen, ask_everything, watch
from tests.conformance.samples import RowAdapter

from wasmgrid.store import Store

SMALL = {"workers", "writers", "credentials"}
SCAN = re.compile(r"Seq Scan on (\w+)")


def test_no_question_reads_a_whole_table(shared: RowAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[tuple[str, str]] = []

    def explain(connection: sa.Connection, seen: Seen) -> None:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in seen:
            if re.match(r"SELECT|UPDATE|DELETE|INSERT", statement):
                for (line,) in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters):
                    scans.extend((table, statement) for table in SCAN.findall(line) if table not in SMALL)

    async def ask(store: Store) -> None:
        seen = watch(store, monkeypatch)
        await ask_everything(store)
        assert len(seen) > 60
        await store._writer.run(lambda connection: explain(connection, list(seen)))

    shared.run(ask)
    assert [each for each in scans if not (each[0] == "modules" and "sum(" in each[1])] == []
