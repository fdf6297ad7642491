"""Arrays: results of many tasks, in the order of their recording, and what they come to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Results of many tasks, in the order of their recording, and what they come to."""
    _results()
    _attempts()
    op.create_table(
        "tallies",
        sa.Column("job_id", _Id, autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("end_index", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("tallies_job_id_names_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("tallies_key")),
    )


def _results() -> None:
    """Every job of before 0003 had one task, so each of its results was the first of its job."""
    with op.batch_alter_table("results", schema=None) as batch_op:
        batch_op.add_column(sa.Column("count", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("seq", sa.Integer(), nullable=True))
    op.execute(sa.update(sa.table("results", sa.column("count"), sa.column("seq"))).values(count=1, seq=1))
    with op.batch_alter_table("results", schema=None) as batch_op:
        batch_op.alter_column("count", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("seq", existing_type=sa.Integer(), nullable=False)
        batch_op.create_index("results_by_seq", ["job_id", "seq"], unique=False)
        batch_op.create_index(
            "results_failed",
            ["job_id", "task_index"],
            unique=False,
            sqlite_where=sa.text("NOT succeeded"),
            postgresql_where=sa.text("NOT succeeded"),
        )


def _attempts() -> None:
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("count", sa.Integer(), nullable=True))
    op.execute(sa.update(sa.table("attempts", sa.column("count"))).values(count=1))
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.alter_column("count", existing_type=sa.Integer(), nullable=False)
