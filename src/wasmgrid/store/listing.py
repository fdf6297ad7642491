"""Lists of jobs that cost the same of a million as of ten: an index answers, or a search that is cut at its time.

Numbers rise with time, so a moment is found among them by halving. A search for text looks through windows of an index
that has the text in it, and says how far it came.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from wasmgrid.core.digits import whole_number
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store.kept import head_of
from wasmgrid.store.queries import LARGEST_ID, job_row
from wasmgrid.store.rows import JobQuery, JobSort, JobsPage, Position
from wasmgrid.store.schema import jobs, micros, moment, plain, results

SEARCH_S = 0.7
WINDOW = 50_000  # numbers looked through in one go, in an index
ROWS = 1000  # the same where each row is looked at

LATEST = micros(datetime.max.replace(tzinfo=UTC))

_first = sa.and_(results.c.job_id == jobs.c.id, results.c.seq == 1)
_of_tenant = jobs.c.tenant == sa.bindparam("tenant")
_ends = sa.select(  # two questions: SQLite would look at all jobs for both in one
    sa.select(sa.func.min(jobs.c.id)).where(_of_tenant).scalar_subquery(),
    sa.select(sa.func.max(jobs.c.id)).where(_of_tenant).scalar_subquery(),
)
_at_or_below = (
    sa.select(jobs.c.id, jobs.c.submitted_at)
    .where(jobs.c.tenant == sa.bindparam("tenant"), jobs.c.id <= sa.bindparam("id"))
    .order_by(jobs.c.id.desc())
    .limit(1)
)


def listed(connection: sa.Connection, tenant: str, asked: JobQuery) -> JobsPage:
    """One page, in the order that was asked for."""
    if asked.sort is JobSort.FINISHED:
        return _Finished(connection, tenant, asked).page()
    return _Numbered(connection, tenant, asked).page()


class _Listing(ABC):
    """A page as it fills: windows in order, until there are enough, or no more, or the time is over."""

    def __init__(self, connection: sa.Connection, tenant: str, asked: JobQuery) -> None:
        self.connection, self.tenant, self.asked = connection, tenant, asked
        self.until = time.monotonic() + SEARCH_S

    @abstractmethod
    def windows(self) -> Iterator[tuple[sa.Select[Any], Position | None]]:
        """(the numbers that a window has, in order; where to go on after it)."""

    def page(self) -> JobsPage:
        """Fill it."""
        ids = self._named() if self.asked.after is None else []
        for select, after in self.windows():
            left = self.asked.limit - len(ids)
            for id_ in self._matching(select):
                if not left:
                    rows = self._rows(ids)
                    return JobsPage(jobs=rows, after=self.position(rows[-1].id, rows[-1].finished_at))
                ids.append(id_)
                left -= 1
            if after is None:
                break
            if time.monotonic() > self.until:
                return JobsPage(jobs=self._rows(ids), after=after, cut=True)
        return JobsPage(jobs=self._rows(ids), after=None)

    @abstractmethod
    def position(self, id_: int, finished_at: datetime | None) -> Position:
        """Where to go on after this job."""

    def _matching(self, select: sa.Select[Any]) -> Iterator[int]:
        asked = self.asked
        if asked.worker is None:
            yield from self.connection.execute(select.limit(asked.limit + 1)).scalars()
            return
        with_result = select.add_columns(results.c.result).select_from(jobs.outerjoin(results, _first))
        for id_, packed in self.connection.execute(with_result):
            if id_ in asked.running or (packed is not None and head_of(packed).worker_id == asked.worker):
                yield id_

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """What must hold of a job's own columns; those of the text are in the indexes that lists go through."""
        asked, column = self.asked, jobs.c
        given: list[sa.ColumnElement[bool]] = [column.tenant == self.tenant]
        if asked.states:
            given.append(column.state.in_(sorted(asked.states)))
        if asked.name:
            given.append(column.name.icontains(plain(asked.name), autoescape=True))
        if asked.language:
            given.append(column.language == plain(asked.language))
        if asked.search:
            text = plain(asked.search)
            given.append(column.name.icontains(text, autoescape=True) | (column.language == text.lower()))
            if self._number is not None:
                given.append(column.id != self._number)  # it stands on the first page, before all others
        return given

    @cached_property
    def _number(self) -> int | None:
        """The job's number, where that is what is looked for."""
        text = self.asked.search or ""
        return whole_number(text, LARGEST_ID) if self.asked.worker is None else None

    def _named(self) -> list[int]:
        """The job of that number, where all else that is asked holds of it too."""
        if self._number is None:
            return []
        others = type(self)(self.connection, self.tenant, replace(self.asked, search=None)).conditions()
        return [*self.connection.execute(sa.select(jobs.c.id).where(jobs.c.id == self._number, *others)).scalars()]

    def _rows(self, ids: list[int]) -> list[Any]:
        found = {row.id: job_row(row) for row in self.connection.execute(sa.select(jobs).where(jobs.c.id.in_(ids)))}
        return [found[id_] for id_ in ids if id_ in found]


class _Numbered(_Listing):
    """Newest first, or oldest first."""

    def windows(self) -> Iterator[tuple[sa.Select[Any], Position | None]]:
        asked = self.asked
        low, high = self._bounds()
        down = asked.sort is JobSort.NEWEST
        order = jobs.c.id.desc() if down else jobs.c.id
        if asked.ids is not None:
            step = asked.limit + 1
            known = sorted((id_ for id_ in asked.ids if low <= id_ < high), reverse=down)
            for at in range(0, len(known), step):
                some = known[at : at + step]
                select = sa.select(jobs.c.id).where(*self.conditions(), jobs.c.id.in_(some)).order_by(order)
                yield select, (some[-1], 0) if at + step < len(known) else None
            return
        if not (asked.name or asked.search or asked.language or asked.worker):
            yield self._page_of_each_state(low, high, order), None
            return
        width = ROWS if asked.worker is not None else WINDOW
        while low < high:
            first, end = (max(low, high - width), high) if down else (low, min(high, low + width))
            select = sa.select(jobs.c.id).where(*self.conditions(), jobs.c.id >= first, jobs.c.id < end)
            low, high = (low, first) if down else (end, high)
            yield select.order_by(order), ((first if down else end - 1), 0) if low < high else None

    def position(self, id_: int, finished_at: datetime | None) -> Position:  # noqa: ARG002 -- another order's
        """Its number."""
        return id_, 0

    def _page_of_each_state(self, low: int, high: int, order: Any) -> sa.Select[Any]:
        """One page per state, each in the order of its index, is what stays fast where a state is rare."""
        limit = self.asked.limit + 1
        pages = []
        wanted: list[JobState | None] = [*sorted(self.asked.states)] or [None]
        for state in wanted:
            page = sa.select(jobs.c.id).where(jobs.c.tenant == self.tenant, jobs.c.id >= low, jobs.c.id < high)
            page = page if state is None else page.where(jobs.c.state == state.value)
            pages.append(sa.select(page.order_by(order).limit(limit).subquery().c.id))
        ids = sa.union_all(*pages).subquery() if len(pages) > 1 else pages[0].subquery()
        return sa.select(ids.c.id).order_by(ids.c.id.desc() if self.asked.sort is JobSort.NEWEST else ids.c.id)

    def _bounds(self) -> tuple[int, int]:
        """The numbers (from, to before) among which it is looked."""
        asked = self.asked
        lowest, highest = self.connection.execute(_ends, {"tenant": self.tenant}).one()
        if lowest is None:
            return 0, 0
        low, high = lowest, highest + 1
        if asked.since is not None:
            low = self._first_from(asked.since, lowest, highest)
        if asked.until is not None:
            high = self._first_from(asked.until, lowest, highest)
        if asked.after is not None:
            last = asked.after[0]
            low, high = (low, min(high, last)) if asked.sort is JobSort.NEWEST else (max(low, last + 1), high)
        return low, high

    def _first_from(self, at: datetime, low: int, high: int) -> int:
        """The lowest number whose job was submitted at that moment or after it; numbers are drawn in order of time."""
        high += 1
        while low < high:
            middle = (low + high) // 2
            row = self.connection.execute(_at_or_below, {"tenant": self.tenant, "id": middle}).first()
            if row is not None and row.submitted_at >= at and row.id >= low:
                high = row.id
            elif row is not None and row.submitted_at >= at:
                high = low
            else:
                low = middle + 1
        return low


class _Finished(_Listing):
    """Those that ended last, first."""

    def windows(self) -> Iterator[tuple[sa.Select[Any], Position | None]]:
        after = self.asked.after
        width = ROWS if self._is_search else self.asked.limit + 1
        while True:
            window = self._window(after)
            last = self.connection.execute(window.offset(width - 1).limit(1)).first()
            these = window.limit(width).subquery()
            select = sa.select(jobs.c.id).where(*self.conditions(), jobs.c.id.in_(sa.select(these.c.id)))
            after = (last.id, micros(last.finished_at)) if last is not None else None
            yield select.order_by(jobs.c.finished_at.desc(), jobs.c.id.desc()), after
            if after is None:
                return

    @property
    def _is_search(self) -> bool:
        asked = self.asked
        return any((asked.states, asked.name, asked.search, asked.language, asked.worker, asked.since, asked.until))

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """And when it was submitted."""
        given = super().conditions()
        if self.asked.since is not None:
            given.append(jobs.c.submitted_at >= self.asked.since)
        if self.asked.until is not None:
            given.append(jobs.c.submitted_at < self.asked.until)
        return given

    def position(self, id_: int, finished_at: datetime | None) -> Position:
        """Its number and when it ended."""
        return id_, micros(finished_at) if finished_at is not None else 0

    @staticmethod
    def _window(after: Position | None) -> sa.Select[Any]:
        ended = sa.select(jobs.c.id, jobs.c.finished_at).where(jobs.c.finished_at.is_not(None))
        if after is not None:
            id_, at = after[0], moment(min(after[1], LATEST))
            ended = ended.where(jobs.c.finished_at <= at, (jobs.c.finished_at < at) | (jobs.c.id < id_))
        return ended.order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())
