"""What was acknowledged is there: after a kill, with the disk full, and once it is not full any more."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.samples import TENANT, FileAdapter, finished_job, job

from wasmgrid.core.errors import Unavailable
from wasmgrid.core.job import Stdin, StoredSpec
from wasmgrid.store import Store
from wasmgrid.store.rows import PrunePolicy
from wasmgrid.store.sqlite import Sqlite

CHILD = Path(__file__).with_name("child.py")


def check(home: Path) -> None:
    """The database is whole."""
    with contextlib.closing(sqlite3.connect(home / "store" / "db.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("acknowledged", [1, 40, 300])
def test_hostile_63_store_killed_in_the_middle_of_submissions(tmp_path: Path, acknowledged: int) -> None:
    with subprocess.Popen([sys.executable, CHILD, "submit", tmp_path], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            said = [child.stdout.readline() for _ in range(acknowledged)]
            child.send_signal(signal.SIGKILL)
            said += child.stdout.readlines()
        finally:
            child.kill()
    kept = [line.decode().split() for line in said if line.endswith(b"\n")]
    assert len(kept) >= acknowledged

    async def look(store: Store) -> None:
        there = {row.id for row in await store.jobs(TENANT, limit=1_000_000)}
        assert {int(job_id) for job_id, _ in kept} <= there
        for _, sha256 in kept:
            assert await store.blobs.size(sha256) is not None
        assert (await store.submit(job())).id > max(there)

    FileAdapter(tmp_path).run(look)
    check(tmp_path)


def test_hostile_68_no_file_may_grow(tmp_path: Path) -> None:
    finished = subprocess.run([sys.executable, CHILD, "starve", tmp_path], capture_output=True, timeout=120, check=True)
    told = json.loads(finished.stdout.splitlines()[-1])
    assert told["refused"] > 0
    assert told["refused"] + len(told["acknowledged"]) - 2 == told["asked"]
    assert told["blob_refused"]
    assert told["listed_meanwhile"] == len(told["acknowledged"]) - 1

    async def look(store: Store) -> None:
        assert [row.id for row in await store.jobs(TENANT, limit=1000)] == sorted(told["acknowledged"], reverse=True)
        assert await store.blobs.size(told["blob"]) == 5_000_000

    FileAdapter(tmp_path).run(look)
    check(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_hostile_68_the_disk_is_full(small_disk: Path) -> None:
    async def fill(store: Store) -> None:
        first = (await store.submit(job())).id
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        refused = 0
        acknowledged = [first]
        for _ in range(50):  # a few may still fit into what the log has of its own
            try:
                acknowledged.append((await store.submit(job())).id)
            except Unavailable as error:
                assert "disk is full" in str(error)  # noqa: PT017 - some of these succeed
                refused += 1
        assert refused > 0
        with pytest.raises(Unavailable, match="disk is full"):
            await store.blobs.put(b"x" * 100_000)
        assert len(await store.jobs(TENANT)) == len(acknowledged)  # reading goes on

        filler.unlink()
        acknowledged.append((await store.submit(job())).id)
        await store.blobs.put(b"x" * 100_000)
        assert {row.id for row in await store.jobs(TENANT)} == set(acknowledged)

    FileAdapter(small_disk).run(fill)
    check(small_disk)


def test_hostile_68_prune_frees_a_full_disk(small_disk: Path) -> None:
    async def fill(store: Store) -> None:
        term = await store.lead("s1")
        for index in range(20):
            stdin, _ = await store.blobs.put(bytes([index]) * 200_000)
            await finished_job(store, term, job(StoredSpec(name="x", stdin=Stdin(sha256=stdin)), module_sha256=None))
        with (small_disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        with pytest.raises(Unavailable, match="disk is full"):
            await store.blobs.put(b"x" * 1_000_000)
        report = await store.prune(PrunePolicy(results_age_s=0, grace_s=0))
        assert (report.jobs, report.blobs) == (20, 20)
        await store.blobs.put(b"x" * 1_000_000)
        await store.submit(job())

    FileAdapter(small_disk).run(fill)
    check(small_disk)


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    async def nothing(_: Store) -> None:
        pass

    FileAdapter(tmp_path).run(nothing)
    engine = Sqlite(tmp_path / "store" / "db.sqlite3").writer()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()
