"""The store by itself: what a submission, a result and a question cost, one by one and many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs
from tests.postgres import NoPostgresError, PostgresServer

from benchmarks.grid import quantile, show, temporary_home
from wasmgrid.core.job import Output, StoredSpec, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import exited
from wasmgrid.store import Store
from wasmgrid.store.rows import FinishedJob, NewJob

ALONE, AT_ONCE, ROUNDS = 500, 64, 30
MODULE = "a" * 64
NEW = NewJob(
    spec=StoredSpec(name="hello", module_sha256=MODULE, args=["a", "b"], env={"A": "b"}),
    state=JobState.QUEUED,
    module_sha256=MODULE,
)

Row = tuple[str, str]


def result(job_id: int, index: int = 0) -> TaskResult:
    """A small one."""
    stdout = Output(data=b"hello\n" * 10, size=60)
    return TaskResult(job_id=job_id, index=index, attempt=job_id, worker_id="w1", outcome=exited(0), stdout=stdout)


def finished(job_id: int) -> FinishedJob:
    """Its job's end."""
    now = datetime.now(UTC)
    return FinishedJob(job_id=job_id, state=JobState.SUCCEEDED, started_at=now, finished_at=now)


async def alone(what: str, call: Callable[[int], Awaitable[object]]) -> Row:
    """One after the other."""
    took, cpu = [], time.process_time()
    for at in range(ALONE):
        began = time.perf_counter()
        await call(at)
        took.append((time.perf_counter() - began) * 1000)
    cpu_us = (time.process_time() - cpu) / ALONE * 1e6
    rate = ALONE / sum(took) * 1000
    return (
        what,
        f"p50 {quantile(took, 0.5):.2f} ms, p99 {quantile(took, 0.99):.2f} ms, {rate:.0f}/s, cpu {cpu_us:.0f} us",
    )


async def together(what: str, call: Callable[[int], Awaitable[object]], rows_each: int = 1) -> Row:
    """`AT_ONCE` rows at a time."""
    began, cpu = time.perf_counter(), time.process_time()
    for turn in range(ROUNDS):
        await asyncio.gather(*(call(turn * AT_ONCE + at) for at in range(0, AT_ONCE, rows_each)))
    rows = ROUNDS * AT_ONCE
    cpu_us = (time.process_time() - cpu) / rows * 1e6
    return what, f"{rows / (time.perf_counter() - began):.0f} rows/s, cpu {cpu_us:.0f} us"


async def measure(store: Store) -> list[Row]:
    """Everything, against a store that is new."""
    term = await store.lead("benchmark")
    ids = [(await store.submit(NEW)).id for _ in range(ALONE)]
    many = [(await store.submit(NEW)).id for _ in range(AT_ONCE * ROUNDS)]
    more = [(await store.submit(NEW)).id for _ in range(AT_ONCE * ROUNDS)]
    array = (await store.submit(structs.replace(NEW, task_count=AT_ONCE * ROUNDS))).id

    def record(numbers: list[int]) -> Awaitable[object]:
        return store.record(term, results=[result(id_) for id_ in numbers], finished=[finished(id_) for id_ in numbers])

    def record_tasks(first: int) -> Awaitable[object]:
        return store.record(term, results=[result(array, first + at) for at in range(AT_ONCE)])

    return [
        await alone("submit, alone", lambda _: store.submit(NEW)),
        await alone("record a result and its job's end, alone", lambda at: record([ids[at]])),
        await alone("read a job", lambda at: store.job("default", ids[at])),
        await alone("read a result", lambda at: store.result("default", ids[at])),
        await alone("put a blob of 2 KB", lambda at: store.blobs.put(b"%06d" % at * 333)),
        await together(f"submit, {AT_ONCE} at once", lambda _: store.submit(NEW)),
        await together(f"record, {AT_ONCE} calls at once", lambda at: record([many[at]])),
        await together(f"record, {AT_ONCE} in a call", lambda at: record(more[at : at + AT_ONCE]), AT_ONCE),
        await together(f"record results of one job's tasks, {AT_ONCE} in a call", record_tasks, AT_ONCE),
    ]


async def measured(home: Path, url: str | None, what: str) -> None:
    """Measure in this home."""
    store = await Store.open(home, url=url)
    try:
        show(f"store in {what}, each write durable when it returns", await measure(store))
    finally:
        await store.close()


def main() -> None:
    """Both databases, in homes that are gone afterwards."""
    with temporary_home() as home:
        asyncio.run(measured(home, None, "SQLite"))
    try:
        with temporary_home() as home, PostgresServer(home / "postgres", durable=True) as server:
            asyncio.run(measured(home, server.create("grid"), "PostgreSQL, on this machine"))
    except NoPostgresError as reason:
        print(f"store in PostgreSQL: not measured, {reason}")


if __name__ == "__main__":
    main()
