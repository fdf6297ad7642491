"""Who leads, and which workers there are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from wasmgrid.core.errors import Superseded
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.store.rows import DEFAULT_TENANT, WorkerRow
from wasmgrid.store.schema import leadership, workers

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerInfo).decode

# Held against a take-over until the transaction ends, where the database has more than one writer.
_term = sa.select(leadership.c.term, leadership.c.server_id).where(leadership.c.id == 1).with_for_update(read=True)
_workers = sa.select(workers).order_by(workers.c.id)


class Grid:
    """Writes of the leadership row and of workers' rows, as functions over a connection."""

    def __init__(self, insert: Callable[[sa.Table], sqlite.Insert], database_now: sa.ColumnElement[datetime]) -> None:
        take = insert(leadership).values(id=1, term=1, server_id=sa.bindparam("server"), taken_at=database_now)
        self._lead = take.on_conflict_do_update(
            index_elements=[leadership.c.id],
            set_={
                "term": leadership.c.term + 1,
                "server_id": take.excluded.server_id,
                "taken_at": take.excluded.taken_at,
            },
        ).returning(leadership.c.term)
        save = insert(workers)
        self._save_worker = save.on_conflict_do_update(
            index_elements=[workers.c.id],
            set_={name: save.excluded[name] for name in ("state", "info", "changed_at")},
        )

    def lead(self, connection: sa.Connection, server_id: str) -> int:
        """Take the leadership; every earlier term is over."""
        return int(connection.execute(self._lead, {"server": server_id}).scalar_one())

    def save_worker(self, connection: sa.Connection, info: WorkerInfo, state: str, now: datetime) -> None:
        """What a worker says of itself, and what we say of it."""
        row = {"id": info.id, "tenant": DEFAULT_TENANT, "state": state, "info": _encode(info)}
        connection.execute(self._save_worker, {**row, "joined_at": now, "changed_at": now})


def check_term(connection: sa.Connection, term: int) -> None:
    """Raise `Superseded` unless `term` is the leadership row's: first in every transaction of a leader."""
    row = connection.execute(_term).first()
    if row is None or row.term != term:
        current = "nobody leads" if row is None else f"{row.server_id} leads in term {row.term}"
        raise Superseded(f"term {term} is over: {current}")


def all_workers(connection: sa.Connection) -> list[WorkerRow]:
    """Every worker that was ever heard of, by id."""
    return [
        WorkerRow(
            id=row.id, state=row.state, info=_decode(row.info), joined_at=row.joined_at, changed_at=row.changed_at
        )
        for row in connection.execute(_workers)
    ]
