"""What is known of a job while results are recorded for it: whose it is, which tasks have one, what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.store.database import Database
from wasmgrid.store.rows import EndedAttempt
from wasmgrid.store.schema import jobs, results, tallies

_SPLIT = 32  # a run travels as one number: first << 32 | count
_LOW = (1 << _SPLIT) - 1
_WORDS = {kind: kind.value for kind in OutcomeKind}


class Ledger:
    """One job's, for the length of one transaction."""

    __slots__ = (
        *("bytes", "cancelled", "end", "failed", "is_array", "rows", "seen", "seq", "succeeded", "taken", "tenant"),
    )

    def __init__(self, tenant: str, over: bool, end: int | None, seq: int, taken: bool) -> None:
        """`end`: of an array, one more than its highest index; `taken`: of any other job, whether its task is done.

        A job that is `over` takes no more results: a prune may have taken those away that it had.
        """
        self.tenant = tenant
        self.is_array = end is not None
        self.end = 0 if over else 1 if end is None else end
        self.seq = seq
        self.taken = Ranges([(0, 1)]) if taken else None  # that have a result, as far as it matters here
        self.seen: set[int] = set()
        self.rows = self.succeeded = self.failed = self.cancelled = self.bytes = 0

    def take(self, index: int) -> bool:
        """Whether this task is there and has no result; from now on it has."""
        if index in self.seen or not 0 <= index < self.end or (self.taken is not None and index in self.taken):
            return False
        self.seen.add(index)
        return True

    def take_range(self, first: int, count: int) -> list[Run]:
        """Those of these tasks that are there and have no result; from now on they have."""
        new = Ranges([(max(0, first), min(self.end, first + count) - max(0, first))])
        for index in self.seen:
            new.discard(index)
        if self.taken is None:
            self.taken = Ranges()
        runs = new.without(self.taken).runs()
        for run in runs:
            self.taken.add(*run)
        return runs

    def enter(self, job_id: int, run: Run, outcome: Outcome, packed: bytes, size: int) -> tuple[Any, ...]:
        """The row of a result, or of one for several tasks; it counts from now on."""
        first, count = run
        self.rows += 1
        self.seq += 1
        self.bytes += size
        succeeded = outcome.succeeded
        if succeeded:
            self.succeeded += count
        elif outcome.kind is OutcomeKind.CANCELLED:
            self.cancelled += count
        else:
            self.failed += count
        return (job_id, first, self.tenant, _WORDS[outcome.kind], succeeded, packed, size, count, self.seq)

    @property
    def sums(self) -> tuple[int, ...]:
        """What its tally rises by; first of all to which number of order."""
        return self.seq, self.succeeded, self.failed, self.cancelled, self.bytes


class Ledgers:
    """Opens them."""

    def __init__(self, database: Database) -> None:
        given = database.numbers("ids")
        has_result = sa.select(results.c.job_id).where(results.c.job_id == jobs.c.id).exists()
        owners = (
            sa.select(
                jobs.c.id,
                jobs.c.tenant,
                jobs.c.finished_at.is_not(None),
                tallies.c.end_index,
                sa.func.coalesce(tallies.c.last_seq, 0),
                sa.case((tallies.c.job_id.is_(None), has_result), else_=sa.false()),
            )
            .select_from(jobs.outerjoin(tallies, tallies.c.job_id == jobs.c.id))
            .where(jobs.c.id.in_(sa.select(given.c.value)))
            .order_by(jobs.c.id)
            # Held against a prune by another server until what names these jobs is there.
            .with_for_update(read=True, key_share=True, of=jobs)
        )
        self._owners = database.prepared(owners, "ids")
        self._taken = database.prepared(_taken(database.numbers("runs")), "job", "runs")
        self._list = database.number_list

    def of(
        self,
        connection: sa.Connection,
        said: Iterable[tuple[Sequence[TaskResult], Sequence[TaskRange]]],
        ended: Iterable[EndedAttempt],
    ) -> dict[int, Ledger]:
        """One for each job that there is; in them what has a result of the tasks that are spoken of."""
        spoken: dict[int, list[Run]] = {attempt.id: [] for attempt in ended if attempt.kind == "run"}
        for singles, ranges in said:
            for result in singles:
                spoken.setdefault(result.job_id, []).append((result.index, 1))
            for given in ranges:
                spoken.setdefault(given.job_id, []).append((given.first, given.count))
        if not spoken:
            return {}
        rows = self._owners.rows(connection, self._list([*spoken]))
        ledgers = {
            id_: Ledger(tenant, bool(over), end, seq, bool(taken)) for id_, tenant, over, end, seq, taken in rows
        }
        for id_, ledger in ledgers.items():
            if ledger.is_array and (runs := _joined(spoken[id_], ledger.end)):
                given = self._list([first << _SPLIT | count for first, count in runs])
                taken = self._taken.rows(connection, id_, given)
                held = [row for row in taken if row[0] is not None]
                ledger.taken = Ranges(held) if held else None
        return ledgers


def _taken(given: sa.FromClause) -> sa.Select[Any]:
    """The rows that hold any of these tasks: the last one that begins at or before a run's first, and later ones.

    An outer join, lest a planner looks through the job's results for each run instead of looking each run up.
    """
    first, count = given.c.value.bitwise_rshift(_SPLIT), given.c.value.bitwise_and(_LOW)
    before = results.alias("before")
    job = sa.bindparam("job", type_=sa.BigInteger)
    last_before = (
        sa.select(sa.func.max(before.c.task_index))
        .where(before.c.job_id == job, before.c.task_index <= first)
        .scalar_subquery()
    )
    row = results.c
    overlaps = sa.and_(
        row.job_id == job,
        row.task_index >= sa.func.coalesce(last_before, first),
        row.task_index < first + count,
        row.task_index + row.count > first,
    )
    return sa.select(row.task_index, row["count"]).select_from(given.outerjoin(results, overlaps))


def _joined(runs: list[Run], end: int) -> list[Run]:
    """These in order, within 0 .. `end`, joined where they touch."""
    joined: list[Run] = []
    low = high = -1
    for first, count in sorted(runs):
        if first < 0 or first >= end:
            continue
        if first <= high:
            high = max(high, first + count)
            continue
        if high > low:
            joined.append((low, high - low))
        low, high = first, first + count
    if high > low:
        joined.append((low, high - low))
    return joined
