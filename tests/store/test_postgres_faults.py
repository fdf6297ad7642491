"""PostgreSQL killed, cut off and full: what was acknowledged is there, what was refused is not, and work goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql
from tests.conformance.samples import TENANT, job
from tests.postgres import PostgresServer

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import TimedOutWaiting, Unavailable
from wasmgrid.core.job import StoredSpec
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob

COMMIT = b"COMMIT\0"


def named(name: str) -> NewJob:
    return job(StoredSpec(name=name), module_sha256=None)


@contextlib.asynccontextmanager
async def opened(home: Path, url: str) -> AsyncIterator[Store]:
    store = await Store.open(home, url=url)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def own(postgres: PostgresServer, tmp_path: Path) -> Iterator[PostgresServer]:
    """A server to be killed; skipped where there is none."""
    with PostgresServer(tmp_path / "own") as server:
        yield server


def test_hostile_63_postgresql_killed_in_mid_write(own: PostgresServer, tmp_path: Path) -> None:
    kept: dict[str, int] = {}
    blobs: set[bytes] = set()
    refused: set[str] = set()
    over = asyncio.Event()

    async def submit(store: Store, lane: int) -> None:
        count = 0
        while not over.is_set():
            name = f"{lane}-{count}"
            count += 1
            try:
                await store.blobs.put(name.encode())
                blobs.add(name.encode())
                kept[name] = (await store.submit(named(name))).id
            except Unavailable:
                refused.add(name)
                await asyncio.sleep(0.05)

    async def more(than: int) -> None:
        async with asyncio.timeout(60):
            while len(kept) < than:  # noqa: ASYNC110 - several lanes fill it
                await asyncio.sleep(0.01)

    async def main() -> None:
        async with opened(tmp_path / "home", own.url()) as store:
            lanes = [asyncio.create_task(submit(store, lane)) for lane in range(8)]
            for kill in range(4):
                await more(len(kept) + 40)
                own.kill()  # in this thread, where what is on a leash is started: nothing is read meanwhile
                if kill == 3:
                    await asyncio.sleep(0.2)
                    with pytest.raises(Unavailable):
                        await store.jobs(TENANT)
                own.start()
            await more(len(kept) + 40)
            over.set()
            await asyncio.gather(*lanes)
            there = {row.name: row.id for row in await store.jobs(TENANT, limit=1_000_000)}
            assert there == kept  # all of it, once, and nothing of what was refused
            assert not refused & there.keys()
            for data in blobs:
                assert await store.blobs.read(sha256_hex(data)) == data

    asyncio.run(asyncio.wait_for(main(), 200))


class Cut:
    """A way to the server that breaks at the next commit: before it went out, or before its answer came in."""

    def __init__(self, port: int) -> None:
        self.before = self.after = False
        self.cuts = 0
        self._port = port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways."""
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._pass(there, writer))
        try:
            while data := await reader.read(65536):
                if COMMIT in data and (self.before or self.after):
                    self.cuts += 1
                    answers.cancel()
                    await asyncio.wait([answers])
                    if self.after:
                        back.write(data)
                        await there.readexactly(1)  # it was done
                    self.before = self.after = False
                    break
                back.write(data)
        finally:
            answers.cancel()
            for end in (writer, back):
                end.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_hostile_62_a_commit_whose_answer_is_lost_is_known_all_the_same(
    postgres: PostgresServer, tmp_path: Path, when: str
) -> None:
    async def main(database: str) -> None:
        cut = Cut(postgres.port)
        server = await asyncio.start_server(cut.carry, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, opened(tmp_path, f"postgresql://postgres@127.0.0.1:{port}/{database}") as store:
            for name in ("first of this writer", "later"):
                setattr(cut, when, True)
                answer = await store.submit(named(name))
                assert not getattr(cut, when)
                rows = await store.jobs(TENANT, name=name)
                assert [row.id for row in rows] == [answer.id]
            assert cut.cuts == 2

    with postgres.temporary() as url:
        asyncio.run(asyncio.wait_for(main(url.rpartition("/")[2]), 100))


def test_connections_that_died_while_they_waited_are_not_noticed(postgres: PostgresServer, tmp_path: Path) -> None:
    async def main(url: str) -> None:
        async with opened(tmp_path, url) as store:
            for _ in range(3):
                term = await store.lead("s1")
                job_id = (await store.submit(job())).id
                sha256, _ = await store.blobs.put(b"x" * job_id)
                with psycopg.connect(url, autocommit=True) as connection:
                    others = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = "
                    cut = connection.execute(others + "current_database() AND pid <> pg_backend_pid()").fetchone()
                assert cut is not None
                assert cut[0] >= 3
                assert await store.blobs.size(sha256) == job_id
                await store.record(term)
                await store.renew_leadership(term)
                assert (await store.job(TENANT, job_id)).id == job_id

    with postgres.temporary() as url:
        asyncio.run(asyncio.wait_for(main(url), 100))


def test_a_server_that_stands_still_keeps_no_reader_waiting(own: PostgresServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "home", own.url()) as store:
            job_id = (await store.submit(job())).id
            await store.job(TENANT, job_id)
            postgres = psutil.Process(own.pid)
            family = [*postgres.children(), postgres]
            for process in family:
                process.suspend()
            try:
                async with asyncio.timeout(60):
                    with pytest.raises((TimedOutWaiting, Unavailable)):
                        await store._readers.run(lambda c: c.exec_driver_sql("SELECT 1").scalar(), time_limit_s=0.3)
            finally:
                for process in family:
                    process.resume()
            assert (await store.job(TENANT, job_id)).id == job_id

    asyncio.run(asyncio.wait_for(main(), 150))


@pytest.fixture
def small_space(own: PostgresServer, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file system of 24 MiB, and the URL of a database whose tables are there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        (disk / "space").mkdir()
        os.chown(disk / "space", own.data.stat().st_uid, -1)
        with psycopg.connect(own.url(), autocommit=True) as connection:
            place = sql.Literal(str(disk / "space"))
            connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(place))
            connection.execute("CREATE DATABASE small TABLESPACE small")
        yield disk, own.url("small")
    finally:
        own.stop()
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_hostile_68_the_disk_of_postgresql_is_full(small_space: tuple[Path, str], tmp_path: Path) -> None:
    disk, url = small_space

    async def fill() -> None:
        async with opened(tmp_path / "home", url) as store:
            first = (await store.submit(named("first"))).id
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            acknowledged = {first}
            refused = 0
            for at in range(40):  # a few may still fit into pages that there are
                spec = StoredSpec(name=f"{at}", args=[os.urandom(2000).hex()] * 4)
                try:
                    acknowledged.add((await store.submit(job(spec, module_sha256=None))).id)
                except Unavailable as error:
                    assert "disk is full" in str(error)  # noqa: PT017 - some of these succeed
                    refused += 1
            assert refused > 0
            with pytest.raises(Unavailable, match="disk is full"):
                await store.blobs.put(os.urandom(2_000_000))
            assert {row.id for row in await store.jobs(TENANT)} == acknowledged  # reading goes on
            filler.unlink()
            acknowledged.add((await store.submit(named("after"))).id)
            sha256, _ = await store.blobs.put(b"x" * 2_000_000)
            assert await store.blobs.size(sha256) == 2_000_000
            assert {row.id for row in await store.jobs(TENANT)} == acknowledged

    asyncio.run(asyncio.wait_for(fill(), 100))
