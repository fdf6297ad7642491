"""Nothing but sqlite.py is SQLite's own: every statement and every table can be said in PostgreSQL's words too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.conformance.samples import TENANT

import wasmgrid.store
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import (
    builds,
    grid,
    jobs,
    leadership,
    ledger,
    prune,
    queries,
    results,
    submissions,
    sweep,
    tasks,
)
from wasmgrid.store.postgres import Postgres
from wasmgrid.store.schema import metadata

PORTS: list[ModuleType] = [builds, grid, jobs, leadership, ledger, prune, queries, results, submissions, sweep, tasks]
INSERT: Any = postgresql.insert
NOW: Any = sa.func.clock_timestamp()
DATABASE = Postgres("postgresql://")
POSTGRESQL: Any = postgresql
SQLITE: Any = sqlite


def statements() -> Iterator[tuple[str, sa.Executable]]:
    """Those made once (in modules; in objects, where they have ON CONFLICT) and the one that is made each time."""
    made: list[Any] = [
        *PORTS,
        jobs.Jobs(DATABASE),
        builds.Builds(INSERT),
        grid.Grid(INSERT, NOW),
        leadership.Leaderships(DATABASE),
    ]
    for holder in made:
        for name, value in vars(holder).items():
            if isinstance(value, sa.Executable) and isinstance(value, sa.ClauseElement):
                yield f"{getattr(holder, '__name__', type(holder).__name__)}.{name}", value
    for state in (None, JobState.QUEUED):
        yield "queries.listed", queries._ids(TENANT, state=state, name="100%", before_id=7, limit=10)


@pytest.mark.parametrize(("name", "statement"), list(statements()))
def test_a_statement_is_postgresql_too(name: str, statement: sa.ClauseElement) -> None:
    assert str(statement.compile(dialect=POSTGRESQL.dialect()))


def test_all_of_them_are_looked_at() -> None:
    names = {name.split(".")[-1] for name, _ in statements()}
    assert {"_lead", "_open_attempts", "_by_seq", "_finish", "_is_named", "_old_builds", "_term", "listed"} <= names


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_a_table_is_postgresql_too(table: sa.Table) -> None:
    made = str(CreateTable(table).compile(dialect=POSTGRESQL.dialect()))
    assert ("BIGINT" in made) or ("BYTEA" in made)
    for index in table.indexes:
        made = str(CreateIndex(index).compile(dialect=POSTGRESQL.dialect()))
        assert ("WHERE" in made) == ("WHERE" in str(CreateIndex(index).compile(dialect=SQLITE.dialect())))


def test_only_one_file_knows_the_database() -> None:
    package = Path(wasmgrid.store.__file__).parent
    knowing = {path.name for path in package.glob("*.py") if "import sqlite3" in path.read_text()}
    assert knowing == {"sqlite.py"}
    for path in package.glob("*.py"):
        assert path.name == "sqlite.py" or "PRAGMA" not in path.read_text(), path.name
    knowing = {path.name for path in package.glob("*.py") if "psycopg" in path.read_text()}
    assert knowing == {"postgres.py"}
    knowing = {path.name for path in package.glob("*.py") if "dialects" in path.read_text()}
    assert knowing == {"sqlite.py", "postgres.py", "database.py"}  # the last for the name of what both give
