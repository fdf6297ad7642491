"""Who leads: one row, whose term rises at every take-over. All of its times are the database's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from wasmgrid.core.errors import Superseded
from wasmgrid.store.database import Database
from wasmgrid.store.rows import Leadership
from wasmgrid.store.schema import EPOCH, Moment, leadership

LAST_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)

# Held against a take-over until the transaction ends, where the database has more than one writer.
_term = (
    sa.select(leadership.c.term, leadership.c.server_id, leadership.c.released)
    .where(leadership.c.id == 1)
    .with_for_update(read=True)
)
_stale_before = sa.bindparam("stale_before", type_=Moment)
_stale_after = sa.bindparam("stale_after", type_=Moment)
_release = (
    sa.update(leadership)
    .where(leadership.c.id == 1, leadership.c.term == sa.bindparam("of_term"))
    .values(released=sa.true())
)


class Leaderships:
    """Writes and reads of the leadership row, as functions over a connection."""

    def __init__(self, database: Database) -> None:
        database_now = database.now
        self._term = database.prepared(_term)
        take = database.insert(leadership).values(
            id=1,
            term=1,
            server_id=sa.bindparam("server"),
            taken_at=database_now,
            renewed_at=database_now,
            released=sa.false(),
        )
        risen = {"term": leadership.c.term + 1}
        risen |= {name: take.excluded[name] for name in ("server_id", "taken_at", "renewed_at", "released")}
        stale = (leadership.c.renewed_at <= _stale_before) | (leadership.c.renewed_at > _stale_after)
        free = leadership.c.released | stale
        on_row = [leadership.c.id]
        self._lead = take.on_conflict_do_update(index_elements=on_row, set_=risen).returning(leadership.c.term)
        self._try_lead = take.on_conflict_do_update(index_elements=on_row, set_=risen, where=free).returning(
            leadership.c.term
        )
        self._renew = (
            sa.update(leadership)
            .where(
                leadership.c.id == 1,
                leadership.c.term == sa.bindparam("of_term"),
                leadership.c.released.is_(sa.false()),
            )
            .values(renewed_at=database_now)
        )
        self._look = sa.select(leadership, database_now.label("now")).where(leadership.c.id == 1)

    def lead(self, connection: sa.Connection, server_id: str) -> int:
        """Take the leadership; every earlier term is over."""
        return int(connection.execute(self._lead, {"server": server_id}).scalar_one())

    def try_lead(self, connection: sa.Connection, server_id: str, stale_s: float) -> int | None:
        """Take it where nobody has it, or who has it did not renew it for `stale_s`; the new term, or None.

        It looks before it locks: servers that ask again and again are in no leader's way.
        """
        row = connection.execute(self._look).first()
        if row is None:  # unless another makes it first, which is then as new as can be
            bounds = {"stale_before": EPOCH, "stale_after": LAST_MOMENT}
        elif is_free(_leadership(row), stale_s):
            stale = timedelta(seconds=stale_s)
            bounds = {"stale_before": row.now - stale, "stale_after": row.now + stale}
        else:
            return None
        term = connection.execute(self._try_lead, {"server": server_id, **bounds}).scalar()
        return None if term is None else int(term)

    def renew(self, connection: sa.Connection, term: int) -> None:
        """Say that the leader of `term` leads still; raises `Superseded` where it does not."""
        if not connection.execute(self._renew, {"of_term": term}).rowcount:
            self.check(connection, term)

    def check(self, connection: sa.Connection, term: int) -> None:
        """Raise `Superseded` unless `term` is the leadership row's: first in every transaction of a leader."""
        row = next(iter(self._term.rows(connection)), None)
        if row is None:
            raise Superseded(f"term {term} is over: nobody leads")
        current, server_id, released = row
        if current != term:
            raise Superseded(f"term {term} is over: {server_id} leads in term {current}")
        if released:
            raise Superseded(f"term {term} is over: {server_id} gave it up")

    @staticmethod
    def release(connection: sa.Connection, term: int) -> None:
        """Give the leadership up, where `term` still has it: the next may take it at once."""
        connection.execute(_release, {"of_term": term})

    def look(self, connection: sa.Connection) -> Leadership | None:
        """Who leads, or led last; None before anybody did."""
        row = connection.execute(self._look).first()
        return None if row is None else _leadership(row)


def is_free(held: Leadership, stale_s: float) -> bool:
    """Whether another may take it: it was given up, or not renewed for so long.

    A renewal that seems to lie as far in the future says that the database's clock was set back since: its true age is
    not known then. To take it is safe at any time; never to take it would not be.
    """
    return held.released or abs(held.age_s) >= stale_s


def _leadership(row: sa.Row[Any]) -> Leadership:
    age_s = (row.now - row.renewed_at).total_seconds()
    return Leadership(term=row.term, server_id=row.server_id, age_s=age_s, released=row.released)
