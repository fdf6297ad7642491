"""PostgreSQL as the store uses it: bounded readers, its errors in our words, migrations by many at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from tests.conformance.samples import TENANT, job
from tests.postgres import PostgresServer, free_port

from wasmgrid.core.errors import InvalidField, TimedOutWaiting, Unavailable
from wasmgrid.store import Store
from wasmgrid.store.migrate import config, upgrade
from wasmgrid.store.postgres import Postgres
from wasmgrid.store.readers import Readers
from wasmgrid.store.schema import metadata


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """A database with nothing in it."""
    with postgres.temporary() as made:
        yield made


@contextlib.asynccontextmanager
async def reading(url: str) -> AsyncIterator[Readers]:
    readers = Readers(Postgres(url))
    try:
        yield readers
    finally:
        await readers.close()


def sleep(connection: sa.Connection, seconds: float = 3600) -> int:
    connection.exec_driver_sql(f"SELECT pg_sleep({seconds})")
    return 1


def test_a_query_past_its_time_limit_is_interrupted(url: str) -> None:
    async def main() -> None:
        async with reading(url) as readers:
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(TimedOutWaiting):
                    await readers.run(sleep, time_limit_s=0.1)
                assert time.monotonic() - began < 30
            slow = [asyncio.create_task(readers.run(sleep, time_limit_s=0.3)) for _ in range(12)]
            await asyncio.sleep(0)
            assert await readers.run(lambda connection: sleep(connection, 0), time_limit_s=60) == 1
            answers = await asyncio.gather(*slow, return_exceptions=True)
            assert all(isinstance(answer, TimedOutWaiting) for answer in answers)

    asyncio.run(main())
    assert [thread.name for thread in threading.enumerate()].count("wasmgrid-store-interrupter") == 1


def test_closing_interrupts_what_runs(url: str) -> None:
    async def main() -> None:
        async with reading(url) as readers:
            running = [asyncio.create_task(readers.run(sleep, time_limit_s=3600)) for _ in range(8)]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(60):
                await readers.close()
            answers = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(answer, TimedOutWaiting) for answer in answers)

    asyncio.run(main())


def test_a_reader_cannot_write_and_sees_one_state(url: str) -> None:
    def count(connection: sa.Connection) -> list[int]:
        seen = []
        for _ in range(2):
            seen.append(int(connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one()))
            with psycopg.connect(url) as other:
                other.execute("INSERT INTO t VALUES (1)")
        return seen

    async def main() -> None:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t (n int)")
        async with reading(url) as readers:
            with pytest.raises(Unavailable, match="read-only"):
                await readers.run(lambda connection: connection.exec_driver_sql("DELETE FROM t").rowcount)
            assert await readers.run(count) == [0, 0]
            assert await readers.run(count) == [2, 2]

    asyncio.run(main())


def test_the_schema_after_all_migrations_is_the_one_in_the_code(url: str) -> None:
    database = Postgres(url)
    upgrade(database)
    upgrade(database)
    engine = database.migrations()
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        storage = (
            "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'blob_chunks'::regclass AND attname = 'data'"
        )
        assert connection.exec_driver_sql(storage).scalar() == "e"  # external: not compressed
    engine.dispose()


def test_servers_that_start_together_migrate_once(url: str, tmp_path: Path) -> None:
    async def start(at: int) -> None:
        store = await Store.open(tmp_path / f"{at}", url=url)
        try:
            await store.submit(job())
        finally:
            await store.close()

    async def main() -> None:
        await asyncio.gather(*(start(at) for at in range(4)))
        store = await Store.open(tmp_path / "0", url=url)
        try:
            assert len(await store.jobs(TENANT)) == 4
        finally:
            await store.close()

    asyncio.run(main())


def test_a_store_of_before_several_servers_is_upgraded(url: str) -> None:
    engine = Postgres(url).migrations()
    with engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        connection.exec_driver_sql("INSERT INTO leadership VALUES (1, 7, 's1', 5)")
    upgrade(Postgres(url))
    with engine.begin() as connection:
        row = connection.exec_driver_sql("SELECT term, taken_at, renewed_at, released FROM leadership").one()
        assert tuple(row) == (7, 5, 5, False)
    engine.dispose()


def test_where_there_is_no_database_it_is_said(postgres: PostgresServer, tmp_path: Path) -> None:
    missing = postgres.url("nowhere")
    nobody = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x"
    for given, words in ((missing, "nowhere"), (nobody, "refused")):
        with pytest.raises(Unavailable, match=words) as caught:
            asyncio.run(Store.open(tmp_path, url=given))
        assert caught.value.hint
        assert "hunter2" not in str(caught.value)
    for bad in ("postgresql://u:hunter2@h/x?nonsense=1", "postgres://u:%zz@h/x"):
        with pytest.raises(InvalidField) as refused:
            asyncio.run(Store.open(tmp_path, url=bad))
        assert "hunter2" not in str(refused.value)
        assert "zz" not in str(refused.value)
