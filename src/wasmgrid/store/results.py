"""What became of tasks: their results, once each, and the attempts that ended without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.store.database import Database
from wasmgrid.store.kept import pack, pack_range
from wasmgrid.store.ledger import Ledger, Ledgers
from wasmgrid.store.rows import DEFAULT_TENANT, EndedAttempt, Refused
from wasmgrid.store.schema import attempts, blob_refs, micros, plain, results, tallies

Said = tuple[Sequence[TaskResult], Sequence[TaskRange]]
Row = tuple[Any, ...]

_ROW = ("job_id", "task_index", "tenant", "outcome", "succeeded", "result", "bytes", "count", "seq")
_ATTEMPT = ("kind", "subject_id", "task_index", "attempt", "tenant", "worker_id", "reason", "ended_at")
_COUNTED = ("counts_as_crash", "counts_as_retry", "count")

_add_up: Any = (
    sa.update(tallies)
    .where(tallies.c.job_id == sa.bindparam("of_job"))
    .values(
        last_seq=sa.bindparam("last"),
        succeeded=tallies.c.succeeded + sa.bindparam("well"),
        failed=tallies.c.failed + sa.bindparam("badly"),
        cancelled=tallies.c.cancelled + sa.bindparam("called_off"),
        bytes=tallies.c.bytes + sa.bindparam("size"),
    )
)


class Results:
    """Writes of results and ended attempts, as functions over a connection."""

    def __init__(self, database: Database) -> None:
        self._ledgers = Ledgers(database)
        self._insert = database.adder(results, *_ROW)
        self._insert_attempts = database.adder(attempts, *_ATTEMPT, *_COUNTED)
        self._insert_refs = database.adder(blob_refs, "job_id", "sha256", "tenant")
        self._add_up = database.prepared(_add_up, "of_job", "last", "well", "badly", "called_off", "size")

    def record(self, connection: sa.Connection, said: Sequence[Said], ended: Sequence[EndedAttempt]) -> list[Refused]:
        """Insert what is new, in the order in which it was said.

        Returns for each of `said` the tasks that have a result already or do not exist.
        """
        ledgers = self._ledgers.of(connection, said, ended)
        rows: list[Row] = []
        refs: list[Row] = []
        refused = [_enter(ledgers, each, rows, refs) for each in said]
        if rows and self._insert(connection, rows) != len(rows):
            raise RuntimeError("a task came to have a result while another was recorded for it")
        if refs:
            self._insert_refs(connection, refs)
        sums = [(id_, *ledger.sums) for id_, ledger in ledgers.items() if ledger.is_array and ledger.rows]
        self._add_up.change_each(connection, sums)
        if ended:
            self._insert_attempts(connection, [_attempt_row(attempt, ledgers) for attempt in ended])
        return refused


def _enter(ledgers: dict[int, Ledger], said: Said, rows: list[Row], refs: list[Row]) -> Refused:
    """Put the rows of what is new beside the others; returns what is not."""
    refused: Refused = {}
    for result in said[0]:
        ledger = ledgers.get(result.job_id)
        if ledger is None or not ledger.take(result.index):
            refused.setdefault(result.job_id, Ranges()).add(result.index)
            continue
        packed = pack(result)
        size = len(packed)
        if result.artifacts or result.stdout.sha256 is not None or result.stderr.sha256 is not None:
            outputs = [output for output in (result.stdout, result.stderr) if output.sha256 is not None]
            size += sum(output.size for output in outputs) + sum(artifact.bytes for artifact in result.artifacts)
            named = {output.sha256 for output in outputs} | {artifact.sha256 for artifact in result.artifacts}
            refs.extend((result.job_id, sha256, ledger.tenant) for sha256 in named)
        rows.append(ledger.enter(result.job_id, (result.index, 1), result.outcome, packed, size))
    for given in said[1]:
        ledger = ledgers.get(given.job_id)
        new = [] if ledger is None else ledger.take_range(given.first, given.count)
        left = Ranges([(given.first, given.count)])
        for run in new:
            left.discard(*run)
            packed = pack_range(given, _values(given, run))
            rows.append(ledgers[given.job_id].enter(given.job_id, run, given.outcome, packed, len(packed)))
        for run in left.runs():
            refused.setdefault(given.job_id, Ranges()).add(*run)
    return refused


def _values(given: TaskRange, run: Run) -> bytes:
    """The values of these tasks of it."""
    first, count = run
    if not given.values or count == given.count:
        return given.values
    return b"\n".join(given.values.split(b"\n")[first - given.first : first - given.first + count])


def _attempt_row(attempt: EndedAttempt, ledgers: dict[int, Ledger]) -> Row:
    tenant = ledgers[attempt.id].tenant if attempt.kind == "run" and attempt.id in ledgers else DEFAULT_TENANT
    return (
        attempt.kind,
        attempt.id,
        attempt.index,
        attempt.attempt,
        tenant,
        plain(attempt.worker_id),
        plain(attempt.reason),
        micros(attempt.ended_at),
        attempt.counts_as_crash,
        attempt.counts_as_retry,
        attempt.count,
    )
