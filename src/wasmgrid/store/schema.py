"""The tables, once, for every database. Indexes say which question they answer.

Every row that belongs to someone carries its tenant; locks and bytes belong to nobody. Times are integers, microseconds
since 1970 UTC; specs, results and sources are MessagePack, with what SQL must look at beside them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970 UTC: exact, ordered and alike in every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else moment(value)


class Words(sa.types.TypeDecorator[str]):
    """Text that a person or a guest wrote: NUL, which not every database can hold, becomes U+FFFD."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else plain(value)


def micros(at: datetime) -> int:
    """A time as it is kept."""
    return (at - EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + timedelta(microseconds=at)


def plain(text: str) -> str:
    """Text as it is kept."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER is SQLite's own row number
Digest = sa.String(64)

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_key",
        "uq": "%(table_name)s_by_%(column_0_N_name)s",
        "fk": "%(table_name)s_%(column_0_name)s_names_%(referred_table_name)s",
    }
)


def _where(name: str, *columns: str, condition: str, unique: bool = False) -> sa.Index:
    """A partial index: only the rows that the question is about are in it."""
    where = sa.text(condition)
    return sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("language", sa.Text),  # of its source
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("spec", sa.LargeBinary, nullable=False),
    sa.Column("task_count", sa.Integer, nullable=False),
    sa.Column("module_sha256", Digest),
    sa.Column("build_id", Id, sa.ForeignKey("builds.id")),
    sa.Column("build_cached", sa.Boolean),
    sa.Column("idempotency_key", Words),
    sa.Column("request_sha256", Digest),
    sa.Column("submitted_at", Moment, nullable=False),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("cancel_requested_at", Moment),
    sa.Column("message", Words, nullable=False),
    # Its spec and the blobs that it names; once it is finished, those of its results as well.
    sa.Column("bytes", sa.BigInteger, nullable=False),
    # A tenant's jobs by number and by state. What is searched for is in them, so that a search reads no spec.
    sa.Index("jobs_by_tenant", "tenant", "id", "name", "language"),
    sa.Index("jobs_by_state", "tenant", "state", "id", "name", "language"),
    _where(
        "jobs_by_idempotency_key", "tenant", "idempotency_key", condition="idempotency_key IS NOT NULL", unique=True
    ),
    _where("jobs_unfinished", "id", condition="finished_at IS NULL"),
    # What a prune asks: the oldest finished ones and their sizes; who names this module, this build.
    _where("jobs_finished", "finished_at", "id", "bytes", condition="finished_at IS NOT NULL"),
    _where("jobs_by_module", "module_sha256", condition="module_sha256 IS NOT NULL"),
    _where("jobs_by_build", "build_id", condition="build_id IS NOT NULL"),
    sqlite_autoincrement=True,  # a number is never given twice, also after the newest job was pruned
)

results = sa.Table(  # of one task, or one for `count` consecutive ones from `task_index` on; no two rows share a task
    "results",
    metadata,
    sa.Column("job_id", Id, sa.ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    sa.Column("task_index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("succeeded", sa.Boolean, nullable=False),
    sa.Column("result", sa.LargeBinary, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),  # rises within a job in the order of recording, with gaps
    # What came after what was seen; and what went wrong, of millions.
    sa.Index("results_by_seq", "job_id", "seq"),
    _where("results_failed", "job_id", "task_index", condition="NOT succeeded"),
)

tallies = sa.Table(  # of an array job, one row: what its results come to so far
    "tallies",
    metadata,
    sa.Column("job_id", Id, sa.ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("end_index", sa.Integer, nullable=False),  # the highest index of the job, and one more
    sa.Column("last_seq", sa.Integer, nullable=False),
    sa.Column("succeeded", sa.Integer, nullable=False),  # tasks
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("cancelled", sa.Integer, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)

attempts = sa.Table(  # that ended without ending their task
    "attempts",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # run | build
    sa.Column("subject_id", Id, primary_key=True, autoincrement=False),  # the job's number, or the build's
    sa.Column("task_index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("worker_id", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("ended_at", Moment, nullable=False),
    sa.Column("counts_as_crash", sa.Boolean, nullable=False),
    sa.Column("counts_as_retry", sa.Boolean, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),  # of the tasks from `task_index` on
)

blob_refs = sa.Table(  # which blobs a job and its results name, except modules
    "blob_refs",
    metadata,
    sa.Column("job_id", Id, sa.ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    sa.Column("sha256", Digest, primary_key=True),
    sa.Column("tenant", Words, nullable=False),
    sa.Index("blob_refs_by_sha256", "sha256"),
)

builds = sa.Table(
    "builds",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("build_key", Digest, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("source", sa.LargeBinary, nullable=False),
    sa.Column("source_sha256", Digest, nullable=False),
    sa.Column("toolchain", sa.Text, nullable=False),
    sa.Column("result", sa.LargeBinary),
    sa.Column("module_sha256", Digest),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("used_at", Moment, nullable=False),
    sa.UniqueConstraint("tenant", "build_key"),
    sa.Index("builds_by_source", "source_sha256"),
    sa.Index("builds_by_module", "module_sha256"),
    sa.Index("builds_by_use", "used_at"),
    sqlite_autoincrement=True,
)

modules = sa.Table(
    "modules",
    metadata,
    sa.Column("tenant", Words, primary_key=True),
    sa.Column("sha256", Digest, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("added_at", Moment, nullable=False),
    sa.Column("used_at", Moment, nullable=False),
    sa.Index("modules_by_sha256", "sha256"),
    sa.Index("modules_by_use", "used_at"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("hold", sa.Text, nullable=False),  # cordoned | quarantined | empty
    sa.Column("note", Words, nullable=False),  # why it is held
    sa.Column("info", sa.LargeBinary, nullable=False),
    sa.Column("joined_at", Moment, nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
)

credentials = sa.Table(  # of workers and servers; a revoked one is kept
    "credentials",
    metadata,
    sa.Column("public_key", sa.String(64), primary_key=True),
    sa.Column("tenant", Words, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
    _where("credentials_by_live_name", "name", condition="revoked_at IS NULL", unique=True),
)

sign_ins = sa.Table(  # browsers that are signed in, and links that will sign one in; times by the database's clock
    "sign_ins",
    metadata,
    sa.Column("sha256", Digest, primary_key=True),  # of the secret, which is with the browser alone
    sa.Column("tenant", Words, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # link | session
    sa.Column("ends_at", Moment, nullable=False),
)

leadership = sa.Table(  # one row; times by the database's clock
    "leadership",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("term", sa.BigInteger, nullable=False),
    sa.Column("server_id", Words, nullable=False),
    sa.Column("taken_at", Moment, nullable=False),
    sa.Column("renewed_at", Moment, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
)

writers = (
    sa.Table(  # the last batch that each writer of a shared database committed: what it asks when an answer is lost
        "writers",
        metadata,
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("committed_at", Moment, nullable=False),
    )
)

blobs = sa.Table(  # where a shared database keeps them (else they are files): a row is there once all chunks are
    "blobs",
    metadata,
    sa.Column("sha256", Digest, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("told_at", Moment, nullable=False),  # when somebody was last told that it is there
    sa.Index("blobs_by_told", "told_at"),
)

blob_chunks = sa.Table(
    "blob_chunks",
    metadata,
    sa.Column("sha256", Digest, sa.ForeignKey("blobs.sha256", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),  # sha256 of these bytes
    sa.Column("data", sa.LargeBinary, nullable=False),
)
