"""Jobs, results and builds to put into a store, and the loop to do it in."""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import BuildResult, Output, SourceRef, StoredSpec, TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.store import Store
from wasmgrid.store.file_blobs import FileBlobs
from wasmgrid.store.rows import EndedAttempt, FinishedJob, NewBuild, NewJob
from wasmgrid.store.schema import blob_chunks, blobs

MODULE = sha256_hex(b"module")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TENANT = "default"


@dataclass(frozen=True)
class Adapter(ABC):
    """A kind of database: where its stores are."""

    home: Path
    url: str | None = None

    def run(self, test: Callable[[Store], Awaitable[None]]) -> None:
        """Run `test` with this store open; again to see what is there after a restart."""

        async def opened() -> None:
            async with self.opened() as store:
                await test(store)

        asyncio.run(asyncio.wait_for(opened(), 120))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """This store, open for the block."""
        store = await Store.open(self.home, url=self.url)
        try:
            yield store
        finally:
            await store.close()

    @abstractmethod
    async def damage(self, store: Store, sha256: str, data: bytes) -> None:
        """Have these bytes in the place of a blob's."""

    @abstractmethod
    async def age(self, store: Store, sha256: str, seconds: float) -> None:
        """As if nobody had been told of this blob for so long."""

    @abstractmethod
    def on_their_way(self) -> list[Path]:
        """What is left of blobs that were not kept."""


@dataclass(frozen=True)
class FileAdapter(Adapter):
    """SQLite, with blobs as files."""

    async def damage(self, store: Store, sha256: str, data: bytes) -> None:
        await asyncio.to_thread(blob_file(store, sha256).write_bytes, data)

    async def age(self, store: Store, sha256: str, seconds: float) -> None:
        old = time.time() - seconds
        os.utime(blob_file(store, sha256), (old, old))

    def on_their_way(self) -> list[Path]:
        return list((self.home / "store" / "blobs" / "tmp").iterdir())


@dataclass(frozen=True)
class RowAdapter(Adapter):
    """PostgreSQL, with blobs as rows."""

    async def damage(self, store: Store, sha256: str, data: bytes) -> None:
        change = sa.update(blob_chunks).where(blob_chunks.c.sha256 == sha256).values(data=data)
        await store._writer.run(lambda connection: connection.execute(change))

    async def age(self, store: Store, sha256: str, seconds: float) -> None:
        change = (
            sa.update(blobs).where(blobs.c.sha256 == sha256).values(told_at=datetime.now(UTC) - timedelta(0, seconds))
        )
        await store._writer.run(lambda connection: connection.execute(change))

    def on_their_way(self) -> list[Path]:
        return list((self.home / "store" / "incoming").iterdir())

    def run_two(self, test: Callable[[Store, Store], Awaitable[None]]) -> None:
        """Run `test` with the store open twice, as two servers have it."""
        second = replace(self, home=self.home.with_name("second"))

        async def opened() -> None:
            async with self.opened() as one, second.opened() as other:
                await test(one, other)

        asyncio.run(asyncio.wait_for(opened(), 120))


def blob_file(store: Store, sha256: str) -> Path:
    """Where a blob that is a file is."""
    assert isinstance(store.blobs, FileBlobs)
    return store.blobs.path(sha256)


async def remove(store: Store, sha256: str, older_than_s: float) -> int | None:
    """As `prune` removes a blob."""
    removed = await store._writer.run(lambda c: store.blobs.remove(c, [sha256], older_than_s=older_than_s))
    return removed[0] if removed else None


def job(spec: StoredSpec | None = None, **given: object) -> NewJob:
    """A queued job with a module."""
    values: dict[str, object] = {"state": JobState.QUEUED, "module_sha256": MODULE, **given}
    return NewJob(spec=spec or StoredSpec(name="hello", module_sha256=MODULE), **values)  # type: ignore[arg-type]


def source(sha256: str = "5" * 64) -> SourceRef:
    """One file of Rust."""
    return SourceRef(sha256=sha256, language="rust", entry="hello.rs", paths=["hello.rs"], bytes=10)


def building_job(sha256: str = "5" * 64) -> NewJob:
    """A job whose source is to be built."""
    return job(StoredSpec(name="hello", source=source(sha256)), state=JobState.BUILDING, module_sha256=None)


def result(job_id: int, index: int = 0, **given: object) -> TaskResult:
    """A task that said hello and exited 0."""
    values: dict[str, object] = {"attempt": 1 << 32, "worker_id": "w1", "outcome": exited(0), **given}
    stdout = Output(data=b"hello\n", size=6)
    return TaskResult(job_id=job_id, index=index, **{"stdout": stdout, **values})  # type: ignore[arg-type]


def calls(job_id: int, first: int, count: int, **given: object) -> TaskRange:
    """Calls of a function that gave ten times their index."""
    values = b"\n".join(b"%d" % (10 * index) for index in range(first, first + count))
    said: dict[str, object] = {"attempt": 1 << 32, "worker_id": "w1", "outcome": exited(0), "values": values, **given}
    return TaskRange(job_id=job_id, first=first, count=count, **said)  # type: ignore[arg-type]


def finished(job_id: int, state: JobState = JobState.SUCCEEDED, at: datetime = NOW, **given: object) -> FinishedJob:
    """The job's end."""
    started = at - timedelta(seconds=1)
    return FinishedJob(job_id=job_id, state=state, started_at=started, finished_at=at, **given)  # type: ignore[arg-type]


def ended(
    job_id: int, attempt: int = 1, *, index: int = 0, crash: bool = False, retry: bool = False, kind: str = "run"
) -> EndedAttempt:
    """An attempt that gave nothing."""
    return EndedAttempt(
        kind=kind,
        id=job_id,
        index=index,
        attempt=attempt,
        worker_id="w1",
        reason="the worker was lost",
        ended_at=NOW,
        counts_as_crash=crash,
        counts_as_retry=retry,
    )


def new_build(key: str = "b" * 64, sha256: str = "5" * 64) -> NewBuild:
    """A build of `source`."""
    return NewBuild(build_key=key, source=source(sha256), toolchain="rust-1.90")


def built(build_id: int, module: str, size: int) -> BuildResult:
    """It gave a module."""
    return BuildResult(
        build_id=build_id,
        attempt=1,
        worker_id="w1",
        outcome=exited(0),
        toolchain="rust-1.90",
        module_sha256=module,
        module_bytes=size,
        diagnostics="warning: unused\n",
        build_ms=812.5,
    )


def not_built(build_id: int, kind: OutcomeKind = OutcomeKind.BUILD_FAILED) -> BuildResult:
    """It gave none."""
    outcome = Outcome(kind=kind, message="the source does not compile")
    return BuildResult(
        build_id=build_id, attempt=1, worker_id="w1", outcome=outcome, diagnostics="error[E0425]", toolchain="rust-1.90"
    )


def worker(worker_id: str = "w1", incarnation: str = "i1") -> WorkerInfo:
    """A worker with two cpus."""
    capacity = Resources(milli_cpus=2000, memory_mb=4096, disk_mb=10_000, slots=4)
    return WorkerInfo(id=worker_id, incarnation=incarnation, version="0.1.0", capacity=capacity, labels={"arch": "x86"})


async def finished_job(store: Store, term: int, new: NewJob | None = None, *, at: datetime = NOW) -> int:
    """A job that has run; returns its number."""
    job_id = (await store.submit(new or job())).id
    await store.record(term, results=[result(job_id)], finished=[finished(job_id, at=at)])
    return job_id
