"""Readers: bounded in number and time, blind to half-done writes, and unable to write."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from wasmgrid.core.errors import TimedOutWaiting, Unavailable
from wasmgrid.store import readers
from wasmgrid.store.migrate import upgrade
from wasmgrid.store.readers import Readers
from wasmgrid.store.sqlite import Sqlite

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Readers]:
    database = Sqlite(path / "db.sqlite3")
    await asyncio.to_thread(upgrade, database)
    made = Readers(database)
    try:
        yield made
    finally:
        await made.close()


def endless(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql(ENDLESS).scalar_one())


def one(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT 1").scalar_one())


def test_a_query_past_its_time_limit_is_interrupted(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as reading:
            for _ in range(3):
                with pytest.raises(TimedOutWaiting):
                    await reading.run(endless, time_limit_s=0.1)
            assert await reading.run(one) == 1  # its connection is as good as before

    asyncio.run(main())


def test_a_prepared_query_is_interrupted_likewise(tmp_path: Path) -> None:
    rows = Sqlite.prepared(sa.text(ENDLESS))

    async def main() -> None:
        async with opened(tmp_path) as reading:
            with pytest.raises(TimedOutWaiting):
                await reading.run(rows.rows, time_limit_s=0.1)
            assert await reading.run(one) == 1

    asyncio.run(main())


def test_endless_queries_hold_up_others_no_longer_than_their_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as reading:
            slow = [asyncio.create_task(reading.run(endless, time_limit_s=0.3)) for _ in range(20)]
            await asyncio.sleep(0)
            assert await reading.run(one, time_limit_s=60) == 1
            answers = await asyncio.gather(*slow, return_exceptions=True)
            assert all(isinstance(answer, TimedOutWaiting) for answer in answers)

    asyncio.run(main())


def test_too_many_that_wait_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_WAITING", 10)

    async def main() -> None:
        async with opened(tmp_path) as reading:
            gate = threading.Event()
            waiting = [asyncio.create_task(reading.run(lambda _: gate.wait(60))) for _ in range(12)]
            await asyncio.sleep(0)
            gate.set()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert sum(isinstance(answer, Unavailable) for answer in answers) == 2
            assert await reading.run(one) == 1

    asyncio.run(main())


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as reading:
            with pytest.raises(Unavailable, match="read-only"):
                await reading.run(lambda c: c.exec_driver_sql("DELETE FROM jobs").rowcount)

    asyncio.run(main())


def test_closing_interrupts_what_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as reading:
            running = [asyncio.create_task(reading.run(endless, time_limit_s=3600)) for _ in range(8)]
            await asyncio.sleep(0.05)
            async with asyncio.timeout(60):
                await reading.close()
            answers = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(answer, TimedOutWaiting) for answer in answers)
            with pytest.raises(Unavailable):
                await reading.run(one)

    asyncio.run(main())
