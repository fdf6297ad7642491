"""What a map of an array's tasks is drawn from: some results of each part of it, and those that did not succeed.

Of a million tasks it reads as much as of twenty thousand: what is not looked at is said.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.store.database import Database
from wasmgrid.store.kept import head_of
from wasmgrid.store.schema import results
from wasmgrid.store.tasks import FAILED, job_rows, row_of, stream

LOOK_S = 1.0
LOOK_BYTES = 64 << 20
MOST_FAILED = 50_000  # rows whose outcome is looked at
MOST_EXPLAINED = 2_000  # rows whose details are

_failed = (
    sa.select(results.c.task_index, results.c["count"].label("tasks"), results.c.outcome)
    .where(job_rows, FAILED)
    .order_by(results.c.task_index)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_explained = (
    sa.select(results.c.result, results.c.task_index, results.c["count"].label("tasks"))
    .where(job_rows, FAILED)
    .order_by(results.c.task_index)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)


class Bad(msgspec.Struct, frozen=True):
    """Tasks that did not succeed."""

    first: int
    count: int
    cancelled: bool


class Explained(msgspec.Struct, frozen=True):
    """Some of these, with how they ended."""

    first: int
    count: int
    outcome: Outcome


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    `walls` are (index, wall ms) of the tasks that were looked at and have run; `rounds` of them were done, each of the
    indexes that it was asked for. `bad` are all that did not succeed below `bad_to` (None: all there are).
    """

    walls: list[tuple[int, float]]
    rounds: int
    bad: list[Bad]
    bad_to: int | None
    explained: list[Explained]


class TaskMaps:
    """Asks for it."""

    def __init__(self, database: Database) -> None:
        given = database.numbers("indexes")
        self._list = database.number_list
        index = given.c.value
        at_index = sa.and_(job_rows, results.c.task_index == row_of(index))
        row = sa.and_(at_index, results.c.task_index + results.c["count"] > index)
        self._rows = database.prepared(
            sa.select(index, results.c.result).select_from(given.outerjoin(results, row)), "tenant", "job_id", "indexes"
        )

    def of(self, connection: sa.Connection, tenant: str, job_id: int, rounds: Sequence[Sequence[int]]) -> Looked:
        """Look at the tasks of these indexes, round after round until the time is over; and at those that failed."""
        given = {"tenant": tenant, "job_id": job_id}
        walls: list[tuple[int, float]] = []
        until, size, done = time.monotonic() + LOOK_S, 0, 0
        for indexes in rounds:
            for at in range(0, len(indexes), 100):
                found = self._rows.rows(connection, tenant, job_id, self._list(indexes[at : at + 100]))
                for index, packed in found:
                    if packed is not None:
                        size += len(packed)
                        head = head_of(bytes(packed))
                        if head.attempt:
                            walls.append((index, head.wall_ms))
            done += 1
            if time.monotonic() > until or size > LOOK_BYTES:
                break
        bad = [
            Bad(row.task_index, row.tasks, row.outcome == OutcomeKind.CANCELLED)
            for row in stream(connection, _failed, {**given, "limit": MOST_FAILED + 1})
        ]
        cut = bad.pop().first if len(bad) > MOST_FAILED else None
        return Looked(
            walls=walls, rounds=done, bad=bad, bad_to=cut, explained=_explain(connection, given, until + LOOK_S)
        )


def _explain(connection: sa.Connection, given: dict[str, object], until: float) -> list[Explained]:
    found: list[Explained] = []
    size = 0
    for row in stream(connection, _explained, {**given, "limit": MOST_EXPLAINED}):
        size += len(row.result)
        found.append(Explained(row.task_index, row.tasks, head_of(bytes(row.result)).outcome))
        if size > LOOK_BYTES or time.monotonic() > until:
            break
    return found
