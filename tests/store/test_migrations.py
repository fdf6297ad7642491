"""Migrations lead to the schema that the statements are written for, from every release, all the way or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.conformance.samples import TENANT, FileAdapter, finished, job, result, worker

from wasmgrid.core.errors import InvalidField, Unavailable
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.ranges import Ranges
from wasmgrid.store import Store
from wasmgrid.store.migrate import config, upgrade
from wasmgrid.store.schema import metadata
from wasmgrid.store.sqlite import Sqlite


def statements(path: Path) -> dict[str, str]:
    """Name -> the statement that made it, but for spaces and the order of a table's parts."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: ",".join(sorted(re.sub(r"[\s\"]+", " ", part).strip(" ()") for part in sql.split(",")))
        for name, sql in made
        if name not in {"alembic_version", "sqlite_sequence"}
    }


def test_the_schema_after_all_migrations_is_the_one_in_the_code(tmp_path: Path) -> None:
    migrated, direct = Sqlite(tmp_path / "migrated"), Sqlite(tmp_path / "direct")
    upgrade(migrated)
    for database in (migrated, direct):
        engine = database.migrations()
        with engine.begin() as connection:
            if database is direct:
                metadata.create_all(connection)
            else:
                context = MigrationContext.configure(connection, opts={"compare_type": True})
                assert compare_metadata(context, metadata) == []
        engine.dispose()
    assert statements(migrated.path) == statements(direct.path)


def test_every_table_but_locks_and_bytes_has_a_tenant() -> None:
    assert {name for name, table in metadata.tables.items() if "tenant" not in table.columns} == {
        *("leadership", "writers"),
        *("blobs", "blob_chunks"),  # known by their digests; whose they are is said by what names them
    }


def test_one_line_of_revisions_from_nothing() -> None:
    scripts = ScriptDirectory.from_config(config())
    assert len(scripts.get_heads()) == 1
    assert scripts.get_base() == "0001"


def test_a_home_of_before_several_servers_is_upgraded(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "store" / "db.sqlite3")
    database.path.parent.mkdir()
    engine = database.migrations()
    with engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        connection.exec_driver_sql("INSERT INTO leadership VALUES (1, 7, 's1', 5)")
        for name, state in (("w1", "joined"), ("w2", "quarantined"), ("w3", "left")):
            row = (name, "default", state, msgspec.msgpack.encode(worker(name)), 1, 2)
            connection.exec_driver_sql("INSERT INTO workers VALUES (?, ?, ?, ?, ?, ?)", row)
    engine.dispose()

    async def look(store: Store) -> None:
        rows = [(row.id, row.state, row.hold, row.note, row.info) for row in await store.workers()]
        assert rows == [
            ("w1", "joined", "", "", worker("w1")),
            ("w2", "joined", "quarantined", "", worker("w2")),
            ("w3", "left", "", "", worker("w3")),
        ]
        seen = await store.leadership()
        assert seen is not None
        assert (seen.term, seen.server_id, seen.released) == (7, "s1", False)
        assert seen.age_s > 1e9
        assert await store.try_lead("s2", stale_s=2.5) == 8

    FileAdapter(tmp_path).run(look)


def test_a_home_of_before_arrays_is_upgraded(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "store" / "db.sqlite3")
    database.path.parent.mkdir()
    engine = database.migrations()
    word = result(1)
    with engine.begin() as connection:
        command.upgrade(config(connection), "0002")
        row = (1, TENANT, "hello", "queued", msgspec.msgpack.encode(job().spec), 1, 5, "", 0)
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, tenant, name, state, spec, task_count, submitted_at, message, bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        kept = (1, 0, TENANT, "exited", 1, msgspec.msgpack.encode(word), 10)
        connection.exec_driver_sql("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
        given = ("run", 1, 0, 3, TENANT, "w1", "lost", 5, 0, 0)
        connection.exec_driver_sql("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", given)
    engine.dispose()

    async def look(store: Store) -> None:
        assert await store.result(TENANT, 1) == word
        assert (await store.results(TENANT, 1)).results == [word]
        assert await store.task_counts(1) == {"succeeded": 1}
        (open_job,) = await store.unfinished()
        assert (open_job.done, open_job.latest) == ([(0, 1)], [(0, 1, 3)])
        term = await store.lead("s1")
        assert await store.record(term, results=[word], finished=[finished(1)]) == {1: Ranges([(0, 1)])}
        assert (await store.job(TENANT, 1)).state is JobState.SUCCEEDED
        assert (await store.submit(job())).id == 2

    FileAdapter(tmp_path).run(look)


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "db")
    upgrade(database)
    before = statements(database.path)
    upgrade(database)
    assert statements(database.path) == before


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "db")
    upgrade(database)
    assert database.path.stat().st_mode & 0o777 == 0o600


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "db")
    with contextlib.closing(sqlite3.connect(database.path)) as connection:
        connection.execute("CREATE TABLE workers (id TEXT)")  # in the way of ours
    with pytest.raises(Unavailable):
        upgrade(database)
    assert set(statements(database.path)) == {"workers"}


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "store" / "db.sqlite3")
    database.path.parent.mkdir()
    upgrade(database)
    engine = database.migrations()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Unavailable, match="newer wasmgrid"):
        asyncio.run(Store.open(tmp_path))


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "db.sqlite3").write_bytes(content)
    with pytest.raises(Unavailable, match="the store cannot be used now"):
        asyncio.run(Store.open(tmp_path))
    assert (tmp_path / "store" / "db.sqlite3").read_bytes() == content


def test_a_url_puts_the_database_elsewhere(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        store = await Store.open(tmp_path, url=url)
        await store.close()

    asyncio.run(use(f"sqlite:///{tmp_path}/elsewhere.db"))
    assert (tmp_path / "elsewhere.db").exists()
    for url in ("mysql://localhost/x", "nonsense", "sqlite://"):
        with pytest.raises(InvalidField):
            asyncio.run(use(url))
