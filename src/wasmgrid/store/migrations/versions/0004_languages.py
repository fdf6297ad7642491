"""Jobs by their language, which the lists of jobs can be searched for."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_AT_ONCE = 1000
_INDEXES = {"jobs_by_tenant": ["tenant", "id", "name"], "jobs_by_state": ["tenant", "state", "id", "name"]}

_jobs = sa.table("jobs", sa.column("id"), sa.column("spec"), sa.column("language"))


def upgrade() -> None:
    """Jobs by their language, which the lists of jobs can be searched for."""
    for name in _INDEXES:
        op.drop_index(name, "jobs")
    op.add_column("jobs", sa.Column("language", sa.Text(), nullable=True))
    _fill()
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", [*columns, "language"], unique=False)


def _fill() -> None:
    """What the specs say."""
    connection, after = op.get_bind(), 0
    page = sa.select(_jobs.c.id, _jobs.c.spec).order_by(_jobs.c.id).limit(_AT_ONCE)
    change = sa.update(_jobs).where(_jobs.c.id == sa.bindparam("of")).values(language=sa.bindparam("said"))
    while rows := connection.execute(page.where(_jobs.c.id > after)).all():
        after = rows[-1].id
        sources = [(row.id, msgspec.msgpack.decode(row.spec).get("source")) for row in rows]
        if changes := [{"of": id_, "said": source["language"]} for id_, source in sources if source is not None]:
            connection.execute(change, changes)
