"""Builds and modules. A build is found by its key, so the same source is compiled once, whoever asks and how often."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from wasmgrid.core.errors import NotFound
from wasmgrid.core.job import BuildResult, SourceRef
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.store.database import InsertInto
from wasmgrid.store.rows import BuildRow, BuildState, ModuleRow, NewBuild
from wasmgrid.store.schema import builds, modules

USED_EXACT_TO = timedelta(minutes=10)  # a use is noted at most this often: reading a cached build writes nothing
FAILURE_KEPT = timedelta(minutes=10)  # then the same source is tried again: it may have been this machine's fault

_encode = msgspec.msgpack.Encoder().encode
_decode_source = msgspec.msgpack.Decoder(SourceRef).decode
_decode_result = msgspec.msgpack.Decoder(BuildResult).decode

_by_key = sa.select(builds).where(
    builds.c.tenant == sa.bindparam("tenant"), builds.c.build_key == sa.bindparam("build_key")
)
_by_id = sa.select(builds).where(builds.c.id == sa.bindparam("build_id"))
_touch = sa.update(builds).where(builds.c.id == sa.bindparam("build_id")).values(used_at=sa.bindparam("now"))
_reopen = (
    sa.update(builds)
    .where(builds.c.id == sa.bindparam("build_id"))
    .values(state=BuildState.PENDING.value, result=None, module_sha256=None, finished_at=None)
)
_finish = (
    sa.update(builds)
    .where(builds.c.id == sa.bindparam("build_id"), builds.c.state == BuildState.PENDING.value)
    .values(
        state=sa.bindparam("to_state"),
        result=sa.bindparam("packed"),
        module_sha256=sa.bindparam("module"),
        finished_at=sa.bindparam("finished"),
    )
    .returning(builds.c.tenant)
)
_module = sa.select(modules).where(
    modules.c.tenant == sa.bindparam("tenant"), modules.c.sha256 == sa.bindparam("sha256")
)


class Builds:
    """Writes of builds and modules, as functions over a connection."""

    def __init__(self, insert: InsertInto) -> None:
        self._insert = insert(builds).on_conflict_do_nothing().returning(builds)
        add = insert(modules)
        self._add_module = add.on_conflict_do_update(
            index_elements=[modules.c.tenant, modules.c.sha256], set_={"used_at": add.excluded.used_at}
        )

    def open(self, connection: sa.Connection, new: NewBuild, now: datetime, *, damaged: str | None) -> BuildRow:
        """The build with this key, made where there is none.

        It is pending again where `damaged` is the module it gave, or where it failed longer than `FAILURE_KEPT` ago.
        """
        row = connection.execute(self._insert, _build_row(new, now)).first()
        if row is not None:
            return build_row(row)
        found = find_build(connection, new)
        if found is None:
            raise NotFound(f"the build {new.build_key} is gone")
        if failed_long_ago(found, now) or (damaged is not None and found.module_sha256 == damaged):
            connection.execute(_reopen, {"build_id": found.id})
        elif found.module_sha256 is not None:
            size, kind = found.module_bytes, found.module_kind
            self.add_module(connection, found.tenant, found.module_sha256, size=size, kind=kind, now=now)
        connection.execute(_touch, {"build_id": found.id, "now": now})
        return find_build(connection, new) or found

    def finish(self, connection: sa.Connection, result: BuildResult, now: datetime) -> None:
        """Keep what a pending build gave: a module, or the source's fault. Anything else leaves it pending."""
        state = _state_after(result)
        if state is BuildState.PENDING:
            return
        module = result.module_sha256 if state is BuildState.DONE else None
        values = {
            "build_id": result.build_id,
            "to_state": state.value,
            "packed": _encode(result),
            "module": module,
            "finished": now,
        }
        tenant = connection.execute(_finish, values).scalar()
        if tenant is not None and module is not None:
            self.add_module(connection, tenant, module, size=result.module_bytes, kind=result.module_kind, now=now)

    def add_module(
        self, connection: sa.Connection, tenant: str, sha256: str, *, size: int, kind: str, now: datetime
    ) -> None:
        """Note a module whose blob is there, or that it was used again."""
        row = {"tenant": tenant, "sha256": sha256, "size": size, "kind": kind, "added_at": now, "used_at": now}
        connection.execute(self._add_module, row)


def failed_long_ago(row: BuildRow, now: datetime) -> bool:
    """Whether the build failed so long ago that its source deserves another try."""
    return row.state is BuildState.FAILED and row.finished_at is not None and now - row.finished_at > FAILURE_KEPT


def find_build(connection: sa.Connection, new: NewBuild) -> BuildRow | None:
    """The build with this key."""
    row = connection.execute(_by_key, {"tenant": new.tenant, "build_key": new.build_key}).first()
    return None if row is None else build_row(row)


def build(connection: sa.Connection, build_id: int) -> BuildRow | None:
    """The build with this number."""
    row = connection.execute(_by_id, {"build_id": build_id}).first()
    return None if row is None else build_row(row)


def module(connection: sa.Connection, tenant: str, sha256: str) -> ModuleRow | None:
    """The module with this digest."""
    row = connection.execute(_module, {"tenant": tenant, "sha256": sha256}).first()
    return None if row is None else ModuleRow(sha256=row.sha256, size=row.size, kind=row.kind, added_at=row.added_at)


def build_row(row: sa.Row[Any]) -> BuildRow:
    """A row of `builds` with what it gave."""
    result = None if row.result is None else _decode_result(row.result)
    return BuildRow(
        id=row.id,
        tenant=row.tenant,
        build_key=row.build_key,
        state=BuildState(row.state),
        source=_decode_source(row.source),
        toolchain=row.toolchain,
        module_sha256=row.module_sha256,
        module_bytes=result.module_bytes if result else 0,
        module_kind=result.module_kind if result else "core",
        diagnostics=result.diagnostics if result else "",
        diagnostics_truncated=result.diagnostics_truncated if result else False,
        message=(result.outcome.message or "") if result else "",
        build_ms=result.build_ms if result else 0.0,
        created_at=row.created_at,
        finished_at=row.finished_at,
        used_at=row.used_at,
    )


def _build_row(new: NewBuild, now: datetime) -> dict[str, object]:
    return {
        "tenant": new.tenant,
        "build_key": new.build_key,
        "state": BuildState.PENDING.value,
        "source": _encode(new.source),
        "source_sha256": new.source.sha256,
        "toolchain": new.toolchain,
        "created_at": now,
        "used_at": now,
    }


def _state_after(result: BuildResult) -> BuildState:
    if result.outcome.succeeded and result.module_sha256 is not None:
        return BuildState.DONE
    return BuildState.FAILED if result.outcome.kind is OutcomeKind.BUILD_FAILED else BuildState.PENDING
