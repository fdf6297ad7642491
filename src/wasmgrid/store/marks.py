"""What became of a commit whose answer was lost: a connection may break between the two, and then it is either.

So the last thing in each transaction of a writer is its mark: a row of its own with the number of the batch. After a
break a new connection reads the row, waiting for the old transaction's end by the row's lock, and knows.
"""

from __future__ import annotations

import secrets
import time
from typing import NewType

import sqlalchemy as sa

from wasmgrid.store.database import Database
from wasmgrid.store.schema import writers

Mark = NewType("Mark", int)

KNOWN_WITHIN_S = 10.0  # a database that restarts is back by then
_PAUSE_S = 0.1


class Marks:
    """The marks of one writer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._id = secrets.token_hex(16)
        self._last = 0
        given: dict[str, sa.BindParameter[object]] = {"id": sa.bindparam("writer"), "batch": sa.bindparam("number")}
        put = database.insert(writers).values(**given, committed_at=database.now)
        on_row = [writers.c.id]
        mark = put.on_conflict_do_update(
            index_elements=on_row, set_={"batch": put.excluded.batch, "committed_at": put.excluded.committed_at}
        )
        self._set = database.prepared(mark, "writer", "number")
        # Not a plain read: it must wait for a transaction that is still about to set the mark, the first one too.
        self._look = put.on_conflict_do_update(index_elements=on_row, set_={"batch": writers.c.batch}).returning(
            writers.c.batch
        )

    def set(self, connection: sa.Connection) -> Mark:
        """Mark the transaction that is about to be committed."""
        self._last += 1
        self._set.change(connection, self._id, self._last)
        return Mark(self._last)

    def committed(self, engine: sa.Engine, mark: Mark, broke: sa.exc.DBAPIError) -> bool:
        """Whether the transaction with this mark was committed after all. Blocks until the database says so.

        Raises `broke` where it does not within `KNOWN_WITHIN_S`: then nobody knows.
        """
        deadline = time.monotonic() + KNOWN_WITHIN_S
        while time.monotonic() < deadline:
            try:
                with engine.connect() as connection, connection.begin():
                    return connection.execute(self._look, {"writer": self._id, "number": 0}).scalar() == mark
            except sa.exc.DBAPIError:
                time.sleep(_PAUSE_S)
        raise broke
