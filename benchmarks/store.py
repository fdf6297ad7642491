"""The store by itself: what a submission, a result and a question cost, one by one and many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs
from tests.postgres import NoPostgresError, PostgresServer

from benchmarks.grid import quantile, show, temporary_home
from wasmgrid.core.job import Output, StoredSpec, TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import exited
from wasmgrid.store import Store
from wasmgrid.store.rows import DEFAULT_TENANT as TENANT
from wasmgrid.store.rows import FinishedJob, NewJob, Submitted

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


async def together(what: str, calls: Callable[[int], Sequence[Awaitable[object]]], each: int, rounds: int) -> Row:
    """`each` rows at a time, made by the calls that `calls` gives for the rows from a number on."""
    began, cpu = time.perf_counter(), time.process_time()
    for turn in range(rounds):
        await asyncio.gather(*calls(turn * each))
    rows = rounds * each
    cpu_us = (time.process_time() - cpu) / rows * 1e6
    return what, f"{rows / (time.perf_counter() - began):.0f} rows/s, cpu {cpu_us:.1f} us/row"


def array(tasks: int) -> NewJob:
    """A job of many tasks."""
    return structs.replace(NEW, spec=structs.replace(NEW.spec, array=f"0-{tasks - 1}"), task_count=tasks)


async def measure(store: Store) -> list[Row]:
    """Everything, against a store that is new."""
    return [*await jobs_of_one_task(store), *await arrays(store)]


async def jobs_of_one_task(store: Store) -> list[Row]:
    """Submissions and results of jobs, each of which is one task."""
    term = await store.lead("benchmark")
    ids = [(await store.submit(NEW)).id for _ in range(ALONE)]
    answers = await store.submit_many([NEW] * (2 * AT_ONCE * ROUNDS))
    many = [answer.id for answer in answers if isinstance(answer, Submitted)]
    more = many[AT_ONCE * ROUNDS :]

    def record(numbers: list[int]) -> Awaitable[object]:
        return store.record(term, results=[result(id_) for id_ in numbers], finished=[finished(id_) for id_ in numbers])

    return [
        await alone("submit, alone", lambda _: store.submit(NEW)),
        await alone("record a result and its job's end, alone", lambda at: record([ids[at]])),
        await alone("read a job", lambda at: store.job(TENANT, ids[at])),
        await alone("read a result", lambda at: store.result(TENANT, ids[at])),
        await alone("put a blob of 2 KB", lambda at: store.blobs.put(b"%06d" % at * 333)),
        await together(
            f"submit, {AT_ONCE} at once", lambda _: [store.submit(NEW) for _ in range(AT_ONCE)], AT_ONCE, ROUNDS
        ),
        await together("submit, 1000 in a call", lambda _: [store.submit_many([NEW] * 1000)], 1000, 5),
        await together(
            f"record results and ends, {AT_ONCE} calls at once",
            lambda at: [record([many[at + each]]) for each in range(AT_ONCE)],
            AT_ONCE,
            ROUNDS,
        ),
        await together(
            f"record results and ends, {AT_ONCE} in a call",
            lambda at: [record(more[at : at + AT_ONCE])],
            AT_ONCE,
            ROUNDS,
        ),
    ]


async def arrays(store: Store) -> list[Row]:
    """Results of one job's tasks: alone, many in a call, one row for many calls of a function; and reading them."""
    term = await store.lead("benchmark")
    rows: list[Row] = []
    for each, rounds in ((1, ALONE), (AT_ONCE, 150), (1000, 100)):
        job_id = (await store.submit(array(each * rounds))).id

        def record(first: int, job_id: int = job_id, each: int = each) -> Sequence[Awaitable[object]]:
            return [store.record(term, results=[result(job_id, first + at) for at in range(each)])]

        rows.append(await together(f"record results of one array, {each} in a call", record, each, rounds))
    calls = (await store.submit(array(1_000_000))).id

    def record_range(first: int) -> Sequence[Awaitable[object]]:
        values = b"\n".join(b"%d" % at for at in range(first, first + 1000))
        given = TaskRange(
            job_id=calls, first=first, count=1000, attempt=1, worker_id="w1", outcome=exited(0), values=values
        )
        return [store.record(term, ranges=[given])]

    rows.append(await together("record calls of a function, 1000 in a row of a call", record_range, 1000, 1000))
    rows.append(await alone("read a task's result of 100,000", lambda at: store.result(TENANT, job_id, 97 * at)))
    rows.append(await alone("read one of 1,000,000 calls", lambda at: store.result(TENANT, calls, 997 * at)))
    rows.append(await together("read all results of 100,000", lambda _: [read_all(store, job_id)], 100_000, 1))
    rows.append(await together("what is done of 1,100,000", lambda _: [store.unfinished()], 1_100_000, 1))
    return rows


async def read_all(store: Store, job_id: int) -> None:
    """As a follower does."""
    page = await store.results(TENANT, job_id)
    while page.results:
        page = await store.results(TENANT, job_id, after=page.cursor)


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
