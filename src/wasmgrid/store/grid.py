"""Which workers there are, and whose credentials count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from wasmgrid.core.errors import InvalidField, NotFound
from wasmgrid.core.worker import WorkerInfo, check_id
from wasmgrid.store.database import InsertInto
from wasmgrid.store.rows import DEFAULT_TENANT, CredentialRow, WorkerRow
from wasmgrid.store.schema import credentials, workers

KINDS = ("worker", "server")
GONE = ("left", "lost")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerInfo).decode

_workers = sa.select(workers).order_by(workers.c.id)
_credentials = sa.select(credentials).order_by(credentials.c.name, credentials.c.created_at)
_live = sa.select(credentials.c.public_key).where(
    credentials.c.name == sa.bindparam("of_name"), credentials.c.revoked_at.is_(None)
)
is_gone = workers.c.state.in_(GONE) & (workers.c.hold == "")


class Grid:
    """Writes of workers' rows and of credentials, as functions over a connection."""

    def __init__(self, insert: InsertInto, database_now: sa.ColumnElement[datetime]) -> None:
        given = {name: sa.bindparam(name, type_=workers.c[name].type) for name in ("id", "tenant", "state")}
        given |= {name: sa.bindparam(name, type_=workers.c[name].type) for name in ("hold", "note", "info")}
        save = insert(workers).values(**given, joined_at=database_now, changed_at=database_now)
        self._save_worker = save.on_conflict_do_update(
            index_elements=[workers.c.id],
            set_={name: save.excluded[name] for name in ("state", "hold", "note", "info", "changed_at")},
        )
        key = {name: sa.bindparam(name, type_=credentials.c[name].type) for name in ("public_key", "name", "kind")}
        add = insert(credentials).values(**key, tenant=DEFAULT_TENANT, created_at=database_now)
        self._add_credential = add.on_conflict_do_nothing().returning(credentials.c.name)
        self._revoke_credential = (
            sa.update(credentials)
            .where(credentials.c.name == sa.bindparam("of_name"), credentials.c.revoked_at.is_(None))
            .values(revoked_at=database_now)
        )

    def save_worker(self, connection: sa.Connection, info: WorkerInfo, state: str, hold: str, note: str) -> None:
        """What a worker says of itself, and what we say of it."""
        ours = {"tenant": DEFAULT_TENANT, "state": state, "hold": hold, "note": note}
        connection.execute(self._save_worker, {"id": info.id, "info": _encode(info), **ours})

    def add_credential(self, connection: sa.Connection, name: str, kind: str, public_key: str) -> None:
        """Let this key in under this name."""
        row = {"name": name, "kind": kind, "public_key": public_key}
        if connection.execute(self._add_credential, row).first() is not None:
            return
        if connection.execute(_live, {"of_name": name}).first() is not None:
            raise InvalidField(
                f"there is a credential {name} already",
                hint=f"use another name, or revoke it first: wasmgrid credential revoke {name}",
                field="name",
            )
        raise InvalidField("this key is known already, under another name or as one revoked", field="public_key")

    def revoke_credential(self, connection: sa.Connection, name: str) -> None:
        """Let it in no more."""
        if not connection.execute(self._revoke_credential, {"of_name": name}).rowcount:
            raise NotFound(f"there is no credential {name}", hint="list: wasmgrid credential list")


def check_credential(name: str, kind: str, public_key: str) -> None:
    """Raise `InvalidField` unless they can be kept."""
    check_id(name, field="name")
    if kind not in KINDS:
        raise InvalidField(f"a credential is a worker's or a server's, not a {kind[:80]!r}", field="kind")
    if not (public_key.isascii() and public_key.isalnum() and 0 < len(public_key) <= 64):
        raise InvalidField("this is not a public nkey", field="public_key")


def all_workers(connection: sa.Connection) -> list[WorkerRow]:
    """Every worker that was ever heard of, by id."""
    return [
        WorkerRow(
            id=row.id,
            state=row.state,
            hold=row.hold,
            note=row.note,
            info=_decode(row.info),
            joined_at=row.joined_at,
            changed_at=row.changed_at,
        )
        for row in connection.execute(_workers)
    ]


def lost(connection: sa.Connection, database_now: sa.ColumnElement[datetime], within: timedelta) -> int:
    """How many workers were lost so short ago."""
    since = connection.execute(sa.select(database_now)).scalar_one() - within
    recent = sa.select(sa.func.count()).where(workers.c.state == "lost", workers.c.changed_at > since)
    return connection.execute(recent).scalar_one()


def all_credentials(connection: sa.Connection) -> list[CredentialRow]:
    """Every credential, revoked ones too, by name and age."""
    return [
        CredentialRow(
            name=row.name,
            kind=row.kind,
            public_key=row.public_key,
            created_at=row.created_at,
            revoked_at=row.revoked_at,
        )
        for row in connection.execute(_credentials)
    ]


def delete_workers(connection: sa.Connection, ids: Sequence[str]) -> int:
    """Delete those of these workers that are gone and not held."""
    gone = sa.delete(workers).where(workers.c.id.in_(sa.bindparam("ids", expanding=True)), is_gone)
    return connection.execute(gone, {"ids": list(ids)}).rowcount
