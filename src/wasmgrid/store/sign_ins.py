"""Who is signed in to the dashboard: digests of secrets, each good until its time is over by the database's clock.

A link is exchanged for a session once, whichever server is asked: what takes it is a DELETE.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from wasmgrid.store.rows import DEFAULT_TENANT
from wasmgrid.store.schema import Moment, sign_ins

LINK, SESSION = "link", "session"

_MICROSECONDS = 1_000_000
_of = sign_ins.c.sha256 == sa.bindparam("of")


class SignIns:
    """Writes and reads of sign-ins, as functions over a connection."""

    def __init__(self, database_now: sa.ColumnElement[datetime]) -> None:
        lasts = sa.bindparam("lasts_us", type_=sa.BigInteger)
        ends_at = sa.type_coerce(sa.type_coerce(database_now, sa.BigInteger) + lasts, Moment)
        self._add = sa.insert(sign_ins).values(
            sha256=sa.bindparam("of"), tenant=DEFAULT_TENANT, kind=sa.bindparam("as_kind"), ends_at=ends_at
        )
        live = sign_ins.c.ends_at > database_now
        self._take_link = sa.delete(sign_ins).where(_of, sign_ins.c.kind == LINK, live).returning(sign_ins.c.sha256)
        self._is_session = sa.select(sign_ins.c.sha256).where(_of, sign_ins.c.kind == SESSION, live)
        self._remove = sa.delete(sign_ins).where(_of)
        self._remove_old = sa.delete(sign_ins).where(sa.not_(live))
        self._remove_all = sa.delete(sign_ins)

    def add(self, connection: sa.Connection, sha256: str, kind: str, lasts_s: float) -> None:
        """Keep a link or a session (`kind`) for so long; whatever is over goes."""
        connection.execute(self._remove_old)
        connection.execute(self._add, {"of": sha256, "as_kind": kind, "lasts_us": int(lasts_s * _MICROSECONDS)})

    def exchange(self, connection: sa.Connection, link: str, session: str, lasts_s: float) -> bool:
        """Take a link and keep a session in its place; False where the link is used, over, or was never given."""
        if connection.execute(self._take_link, {"of": link}).first() is None:
            return False
        self.add(connection, session, SESSION, lasts_s)
        return True

    def is_session(self, connection: sa.Connection, sha256: str) -> bool:
        """Whether it is one, and not over."""
        return connection.execute(self._is_session, {"of": sha256}).first() is not None

    def remove(self, connection: sa.Connection, sha256: str) -> None:
        """End one."""
        connection.execute(self._remove, {"of": sha256})

    def remove_all(self, connection: sa.Connection) -> int:
        """End every session and every link; how many they were."""
        return connection.execute(self._remove_all).rowcount
