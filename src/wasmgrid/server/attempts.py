"""The attempts at a job's tasks: which worker had what, and how that ended."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import QueryParameter

from wasmgrid.core.digits import whole_number
from wasmgrid.core.job import TaskResult
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import LAST_INDEX
from wasmgrid.server.joblist import not_of_this_list
from wasmgrid.server.openapi import problems
from wasmgrid.server.service import JobRef, Service, Svc
from wasmgrid.server.views import is_array
from wasmgrid.store.queries import LARGEST_ID
from wasmgrid.store.rows import JobRow

MOST = 1000  # a page
FIRST = (-1, 0)  # before every (index, attempt)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One assignment to a worker that ended: with an `outcome`, or without one for a `reason`.

    It was of the task `index`, or of the `count` tasks from there on.
    """

    index: int
    count: int
    attempt: int
    worker_id: str
    outcome: OutcomeKind | None
    reason: str | None
    ended_at: datetime | None


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that ended, by task and age. `next_cursor` asks for the ones after them; None: no more now."""

    attempts: list[Attempt]
    next_cursor: str | None


@get("/attempts", summary="Attempts that ended", responses=problems(404, 422))
async def attempts(
    job: JobRef,
    service: Svc,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = MOST,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")] = None,
) -> Attempts:
    """Those that gave no result (a worker was lost, a runner crashed, a retry followed); of a job that is no array,
    then the one that gave it. An array's are in its tasks."""
    after = _parse(cursor) if cursor else FIRST
    return await attempts_of(service, await service.find(job), after, limit)


async def attempts_of(service: Service, row: JobRow, after: tuple[int, int] = FIRST, limit: int = MOST) -> Attempts:
    """Up to `limit` of the attempts at that job's tasks that ended."""
    found = await service.store.attempts(service.tenant, row.id, after=after, limit=limit)
    ended = [
        Attempt(
            index=each.index,
            count=each.count,
            attempt=each.attempt,
            worker_id=each.worker_id,
            outcome=None,
            reason=each.reason,
            ended_at=each.ended_at,
        )
        for each in found
    ]
    if len(found) == limit:
        return Attempts(attempts=ended, next_cursor=f"{found[-1].index}:{found[-1].attempt}")
    result = None if is_array(row) else await service.result(row)
    if result is not None and result.attempt > 0:  # else it ended before any worker had it
        ended.append(_last(result, row))
    return Attempts(attempts=ended, next_cursor=None)


def _parse(cursor: str) -> tuple[int, int]:
    """(index, attempt) that a page ended with; raises `InvalidField`."""
    index, _, attempt = cursor.partition(":")
    position = whole_number(index, LAST_INDEX), whole_number(attempt, LARGEST_ID)
    if position[0] is None or position[1] is None:
        raise not_of_this_list()
    return position[0], position[1]


def _last(result: TaskResult, row: JobRow) -> Attempt:
    return Attempt(
        index=result.index,
        count=1,
        attempt=result.attempt,
        worker_id=result.worker_id,
        outcome=result.outcome.kind,
        reason=result.outcome.message,
        ended_at=row.finished_at,
    )
