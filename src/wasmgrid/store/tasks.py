"""What is read of tasks: their results by index and in the order of recording, what went wrong, what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from wasmgrid.core.job import Stats, TaskRange, TaskResult
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import LAST_INDEX, Run
from wasmgrid.store.database import Database
from wasmgrid.store.kept import stats_of, unpack, unpack_tasks
from wasmgrid.store.rows import ResultsPage
from wasmgrid.store.schema import results, tallies

PAGE_BYTES = 4 << 20  # a page ends once its rows hold so much, whatever its limit
_FEW = {"stream_results": True, "max_row_buffer": 64}

FAILED = sa.literal_column("NOT results.succeeded", sa.Boolean)  # as the index says it
_COLUMNS = (results.c.result, results.c.task_index, results.c["count"], results.c.seq)
_job: sa.BindParameter[int] = sa.bindparam("job_id", type_=sa.BigInteger)
_start: sa.BindParameter[int] = sa.bindparam("start", type_=sa.Integer)
_limit: sa.BindParameter[int] = sa.bindparam("limit", type_=sa.Integer)
job_rows = sa.and_(results.c.job_id == _job, results.c.tenant == sa.bindparam("tenant"))

_before = results.alias("before")


def row_of(index: Any) -> sa.ScalarSelect[int]:
    """Where the last row begins that begins at this index or before."""
    last = sa.select(sa.func.max(_before.c.task_index))
    return last.where(_before.c.job_id == _job, _before.c.task_index <= index).scalar_subquery()


# A bound that an index can search by: the row that holds `start`, or begins after it.
_from_start = results.c.task_index >= sa.func.coalesce(row_of(_start), _start)
_one = sa.select(*_COLUMNS).where(
    job_rows, results.c.task_index == row_of(_start), results.c.task_index + results.c["count"] > _start
)
_by_index = (
    sa.select(*_COLUMNS)
    .where(job_rows, _from_start, results.c.task_index + results.c["count"] > _start)
    .order_by(results.c.task_index)
    .limit(_limit)
)
_by_seq = (
    sa.select(*_COLUMNS)
    .where(job_rows, results.c.seq > sa.bindparam("after", type_=sa.Integer))
    .order_by(results.c.seq)
    .limit(_limit)
)
_last_seq = sa.select(sa.func.max(results.c.seq)).where(results.c.job_id == _job)
_failed_runs = (
    sa.select(results.c.task_index, results.c["count"]).where(job_rows, FAILED).order_by(results.c.task_index)
)
_tally = sa.select(tallies.c.succeeded, tallies.c.failed, tallies.c.cancelled).where(tallies.c.job_id == _job)
_counts = sa.select(results.c.outcome, results.c.succeeded, results.c["count"]).where(results.c.job_id == _job)
_ends = sa.select(sa.func.min(results.c.task_index), sa.func.max(results.c.task_index)).where(results.c.job_id == _job)


def result(connection: sa.Connection, tenant: str, job_id: int, index: int) -> TaskResult | None:
    """The result of one task, where it has one."""
    if not 0 <= index <= LAST_INDEX:
        return None
    row = connection.execute(_one, {"tenant": tenant, "job_id": job_id, "start": index}).first()
    return None if row is None else next(unpack_tasks(*_packed(row, job_id), after=index - 1))


def in_order(
    connection: sa.Connection, tenant: str, job_id: int, *, after: int, limit: int, failed: bool
) -> ResultsPage:
    """Rows as they were recorded, after the cursor `after`."""
    query = _by_seq.where(FAILED) if failed else _by_seq
    given = {"tenant": tenant, "job_id": job_id, "after": after, "limit": limit}
    found: list[TaskResult | TaskRange] = []
    seqs: list[int] = []
    size = 0
    for row in stream(connection, query, given):
        found.append(unpack(*_packed(row, job_id)))
        seqs.append(row.seq)
        size += len(row.result)
        if size > PAGE_BYTES:
            return ResultsPage(results=found, seqs=seqs, cursor=seqs[-1])
    after = seqs[-1] if seqs else after
    if failed and len(found) < limit:  # what did not fail need not be looked at again
        after = max(after, connection.execute(_last_seq, {"job_id": job_id}).scalar() or 0)
    return ResultsPage(results=found, seqs=seqs, cursor=after)


def by_index(
    connection: sa.Connection,
    tenant: str,
    job_id: int,
    *,
    failed: bool,
    outcome: OutcomeKind | None,
    after_index: int,
    limit: int,
) -> list[TaskResult]:
    """The results of tasks above `after_index`, in order."""
    query = _by_index
    if failed or outcome not in {None, OutcomeKind.EXITED}:
        query = query.where(FAILED)
    if outcome is not None:
        query = query.where(results.c.outcome == outcome.value)
    start = min(max(0, after_index + 1), LAST_INDEX)
    found: list[TaskResult] = []
    size = 0
    for row in stream(connection, query, {"tenant": tenant, "job_id": job_id, "start": start, "limit": limit}):
        for each in unpack_tasks(*_packed(row, job_id), after=after_index):
            found.append(each)
            if len(found) == limit:
                return found
        size += len(row.result)
        if size > PAGE_BYTES:
            break
    return found


def failed_runs(connection: sa.Connection, tenant: str, job_id: int) -> list[Run]:
    """The indexes of the tasks that ended without success."""
    return list(joined(stream(connection, _failed_runs, {"tenant": tenant, "job_id": job_id})))


def counts(connection: sa.Connection, job_id: int) -> dict[str, int]:
    """How many tasks of a job succeeded, failed and were cancelled; a key is there where its count is above 0."""
    tally = connection.execute(_tally, {"job_id": job_id}).first()
    if tally is not None:
        return {name: count for name, count in zip(tally._fields, tally, strict=True) if count}
    told: dict[str, int] = {}
    for outcome, succeeded, count in connection.execute(_counts, {"job_id": job_id}):
        key = "succeeded" if succeeded else "cancelled" if outcome == OutcomeKind.CANCELLED else "failed"
        told[key] = told.get(key, 0) + count
    return told


class Samples:
    """Asks what tasks cost, of few of many."""

    def __init__(self, database: Database) -> None:
        given = database.numbers("indexes")
        self._list = database.number_list
        index = given.c.value
        at_index = sa.and_(job_rows, results.c.task_index == row_of(index))
        row = sa.and_(at_index, results.c.task_index + results.c["count"] > index)
        self._ends = database.prepared(_ends, "job_id")
        self._rows = database.prepared(
            sa.select(results.c.result).select_from(
                given.outerjoin(results, row)
            ),  # inner, a planner may turn it round
            "tenant",
            "job_id",
            "indexes",
        )

    def of(self, connection: sa.Connection, tenant: str, job_id: int, n: int) -> list[Stats]:
        """What about `n` tasks cost that have a result, evenly spread over the indexes."""
        low, high = self._ends.rows(connection, job_id)[0]
        if low is None:
            return []
        width = high - low + 1
        indexes = sorted({low + at * width // n for at in range(n)} | {high})
        rows = self._rows.rows(connection, tenant, job_id, self._list(indexes))
        return [stats_of(bytes(packed)) for (packed,) in rows if packed is not None]


def joined(rows: Iterator[Any]) -> Iterator[Run]:
    """(first, count) rows in order, joined where they touch."""
    low = high = -1
    for first, count in rows:
        if first == high:
            high += count
            continue
        if high > low:
            yield low, high - low
        low, high = first, first + count
    if high > low:
        yield low, high - low


def stream(connection: sa.Connection, query: sa.Select[Any], given: dict[str, Any]) -> Iterator[sa.Row[Any]]:
    """The rows, few of them in memory at a time."""
    with connection.execute(query, given, execution_options=_FEW) as rows:
        yield from rows


def _packed(row: Any, job_id: int) -> tuple[bytes, int, int, int]:
    return row.result, job_id, row.task_index, row[2]
