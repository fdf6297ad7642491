"""A page of jobs: what the store lists, and what the leader knows of those that have not ended."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from wasmgrid.core.digits import whole_number
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.protocol.events import LiveJob
from wasmgrid.server.service import Service
from wasmgrid.store.queries import LARGEST_ID
from wasmgrid.store.rows import JobQuery, JobRow, JobSort, Position
from wasmgrid.store.schema import micros

_OPEN = frozenset({JobState.BUILDING, JobState.QUEUED})  # which of these run is not in the store
PAGES_AT_ONCE = 20  # of rows that are looked at for one page of an answer

Listed = tuple[JobRow, LiveJob | None]


class Found(NamedTuple):
    """A page; `after` is where to go on (None: there are no more), `cut` whether it is not full for lack of time."""

    jobs: list[Listed]
    after: Position | None
    cut: bool


async def page(service: Service, states: Collection[JobState], asked: JobQuery) -> Found:
    """The jobs that `asked` means and that are in these states now. What runs is known to the leader alone."""
    asked = await _with_running(service, states, asked)
    found: list[Listed] = []
    for _ in range(PAGES_AT_ONCE):
        rows = await service.store.list_jobs(service.tenant, asked)
        lives = await service.control.lives([row.id for row in rows.jobs if row.state not in FINISHED])
        for row in rows.jobs:
            if len(found) == asked.limit:
                return Found(found, _position(asked.sort, found[-1][0]), cut=False)
            live = lives.get(row.id)
            if not states or (row.state if live is None else live.state) in states:
                found.append((row, live))
        if rows.after is None or rows.cut or len(found) == asked.limit:
            return Found(found, rows.after, rows.cut)
        asked = replace(asked, after=rows.after)
    return Found(found, asked.after, cut=True)


async def _with_running(service: Service, states: Collection[JobState], asked: JobQuery) -> JobQuery:
    """States as they are kept; and which jobs run, where that decides."""
    kept = frozenset(states) - {JobState.RUNNING} | (_OPEN if JobState.RUNNING in states else frozenset())
    asked = replace(asked, states=kept)
    if asked.worker is not None:
        asked = replace(asked, running=frozenset(await service.control.running(asked.worker)))
    if set(states) == {JobState.RUNNING} and asked.sort is not JobSort.FINISHED:
        asked = replace(asked, ids=frozenset(await service.control.running()))
    return asked


def parse_state(text: str) -> JobState:
    """A state by its name."""
    try:
        return JobState(text)
    except ValueError:
        raise InvalidField(f"{text[:40]!r} is no state", hint=f"one of {', '.join(JobState)}", field="state") from None


def parse_sort(text: str) -> JobSort:
    """An order by its name."""
    try:
        return JobSort(text)
    except ValueError:
        raise InvalidField(f"{text[:40]!r} is no order", hint=f"one of {', '.join(JobSort)}", field="sort") from None


def parse_time(text: str | None, field: str) -> datetime | None:
    """RFC 3339, or seconds since 1970. Raises `InvalidField`."""
    if not text:
        return None
    try:
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return datetime.fromtimestamp(float(text), UTC)
        at = datetime.fromisoformat(text[:40])
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidField(
            f"{text[:40]!r} is no time", hint="as 2026-01-31T12:00:00Z, or seconds since 1970", field=field
        ) from None


def parse_cursor(cursor: str | None) -> Position | None:
    """`next_cursor` as it was given. Raises `InvalidField`."""
    if not cursor:
        return None
    text, _, at = cursor.partition("-")
    number, finished_at = whole_number(text, LARGEST_ID), whole_number(at or "0", LARGEST_ID)
    if number is None or finished_at is None:
        raise not_of_this_list()
    return number, finished_at


def not_of_this_list() -> InvalidField:
    """A page's cursor that is none."""
    return InvalidField("cursor is not one of this list's", hint="give next_cursor of the page before", field="cursor")


def format_cursor(after: Position | None) -> str | None:
    """The inverse of `parse_cursor`."""
    if after is None:
        return None
    return f"{after[0]}-{after[1]}" if after[1] else str(after[0])


def _position(sort: JobSort, row: JobRow) -> Position:
    return row.id, micros(row.finished_at) if sort is JobSort.FINISHED and row.finished_at is not None else 0
