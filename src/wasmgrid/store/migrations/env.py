"""Alembic's entry: migrate the connection that `store.migrate` hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from wasmgrid.store.schema import Moment, Words, metadata


def plain_type(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A change names the database's own types: what our types do to values may change later, it may not."""
    if kind == "type" and isinstance(item, Moment):
        return "sa.BigInteger()"
    return "sa.Text()" if kind == "type" and isinstance(item, Words) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=plain_type,
    render_as_batch=True,  # SQLite alters a table by rebuilding it
    transactional_ddl=True,  # all of an upgrade or nothing: our transactions begin where we say, in SQLite too
)
with context.begin_transaction():
    context.run_migrations()
