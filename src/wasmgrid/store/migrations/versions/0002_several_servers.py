"""Several servers: leadership that is renewed, workers that are held, credentials, blobs in the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Several servers: leadership that is renewed, workers that are held, credentials, blobs in the database."""
    _leadership()
    _workers()
    _attempts()
    op.create_table(
        "credentials",
        sa.Column("public_key", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("public_key", name=op.f("credentials_key")),
    )
    op.create_index(
        "credentials_by_live_name",
        "credentials",
        ["name"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "writers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("committed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("writers_key")),
    )
    _blobs()


def _leadership() -> None:
    """A leader of before 0002 never renewed, so its last renewal is when it took the row."""
    with op.batch_alter_table("leadership", schema=None) as batch_op:
        batch_op.add_column(sa.Column("renewed_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("released", sa.Boolean(), nullable=True))
    table = sa.table("leadership", sa.column("taken_at"), sa.column("renewed_at"), sa.column("released"))
    op.execute(sa.update(table).values(renewed_at=table.c.taken_at, released=sa.false()))
    with op.batch_alter_table("leadership", schema=None) as batch_op:
        batch_op.alter_column("renewed_at", existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column("released", existing_type=sa.Boolean(), nullable=False)


def _workers() -> None:
    """What holds a worker back was one of its states before."""
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("hold", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("note", sa.Text(), nullable=True))
    table = sa.table("workers", sa.column("state"), sa.column("hold"), sa.column("note"))
    held = table.c.state.in_(["cordoned", "quarantined"])
    op.execute(sa.update(table).values(hold=sa.case((held, table.c.state), else_=""), note=""))
    op.execute(sa.update(table).where(held).values(state="joined"))
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.alter_column("hold", existing_type=sa.Text(), nullable=False)
        batch_op.alter_column("note", existing_type=sa.Text(), nullable=False)


def _attempts() -> None:
    """Which attempts used up a retry was not kept before."""
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("counts_as_retry", sa.Boolean(), nullable=True))
    op.execute(sa.update(sa.table("attempts", sa.column("counts_as_retry"))).values(counts_as_retry=sa.false()))
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.alter_column("counts_as_retry", existing_type=sa.Boolean(), nullable=False)


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("blobs_key")),
    )
    op.create_index("blobs_by_told", "blobs", ["told_at"], unique=False)
    op.create_table(
        "blob_chunks",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["blobs.sha256"], name=op.f("blob_chunks_sha256_names_blobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "number", name=op.f("blob_chunks_key")),
    )
    if op.get_bind().dialect.name == "postgresql":  # to compress modules and archives is slow and gains little
        op.execute("ALTER TABLE blob_chunks ALTER COLUMN data SET STORAGE EXTERNAL")
