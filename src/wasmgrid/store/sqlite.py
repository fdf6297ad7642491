"""All that is particular to SQLite: how to connect, its clock, its upsert, its time limit, what its errors mean."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from wasmgrid.core.errors import Unavailable
from wasmgrid.store.database import NextIds
from wasmgrid.store.files import as_unavailable, sync_directory
from wasmgrid.store.prepared import Adder, Prepared, Rows, batches, execute
from wasmgrid.store.schema import Moment

# The database's clock, in microseconds (SQLite counts days, exact to the millisecond).
_NOW = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

BUSY_MS = 2000  # how long a write waits for another process that writes
_LAST_ID = f"SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0), {_NOW}"  # noqa: S608
_ROWS_AT_ONCE = 64
_LOG_PAGES = 8000  # 32 MB of log before it is worked into the file: the same pages are written again and again
_STEPS = 20_000  # virtual machine instructions between two looks at the clock, some 0.2 ms

_DIALECT = sqlite.dialect(paramstyle="qmark", dbapi=sqlite3)

_CAUSES = {
    "SQLITE_FULL": ("the disk is full", "free some space: wasmgrid prune"),
    "SQLITE_BUSY": ("another process holds the database", "end what else has the file open"),
    "SQLITE_READONLY": ("the database is read-only", "look at the file system and the file's permissions"),
    "SQLITE_CORRUPT": ("the database is damaged", "restore it from a backup"),
    "SQLITE_NOTADB": ("the file is not a database", "restore it from a backup"),
}


class Sqlite:
    """The database in one file, used by one server."""

    shared = False
    now: sa.ColumnElement[datetime] = sa.literal_column(_NOW, Moment)
    insert = staticmethod(sqlite.insert)

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def prepared(statement: sa.Executable, *names: str) -> Prepared:
        """The statement for the hot path."""
        return Prepared(statement, _DIALECT, names)

    @staticmethod
    def adder(table: sa.Table, *columns: str) -> Adder:
        """Inserts rows, many in a statement: the interpreter is given up and taken back once for all of them."""
        row = f"({', '.join('?' * len(columns))})"

        @cache
        def statement(rows: int) -> str:
            values = ", ".join([row] * rows)
            return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {values} ON CONFLICT DO NOTHING"  # noqa: S608

        def add(connection: sa.Connection, rows: Rows) -> int:
            return sum(
                execute(connection, _DIALECT, statement(len(some)), [*chain.from_iterable(some)]).rowcount
                for some in batches(rows, _ROWS_AT_ONCE)
            )

        return add

    @staticmethod
    def numbers(name: str) -> sa.FromClause:
        """They travel as JSON."""
        return sa.func.json_each(sa.bindparam(name, type_=sa.Text)).table_valued("value")

    @staticmethod
    def number_list(numbers: Sequence[int]) -> str:
        """As JSON."""
        return f"[{','.join(map(str, numbers))}]"

    @staticmethod
    def next_ids(table: str) -> NextIds:
        """There is one writer: what it reads of the counter holds until it commits, and its own rows move it on."""

        def draw(connection: sa.Connection, count: int) -> tuple[Sequence[int], int]:
            ((last, now),) = execute(connection, _DIALECT, _LAST_ID, (table,)).fetchall()
            return range(last + 1, last + 1 + count), now

        return draw

    @property
    def place(self) -> str:
        """Where it is."""
        return str(self.path)

    def prepare(self) -> None:
        """Make the file, for nobody else to read, so that it is there after a crash."""
        with as_unavailable():
            self.path.touch(mode=0o600)
            sync_directory(self.path.parent)

    def writer(self) -> sa.Engine:
        """One connection that writes: its transactions begin as writers; after a commit they are on the disk."""
        return self._engine(
            "BEGIN IMMEDIATE",
            "PRAGMA foreign_keys=ON",
            "PRAGMA synchronous=FULL",
            f"PRAGMA wal_autocheckpoint={_LOG_PAGES}",
            "PRAGMA cache_size=-8000",
        )

    def readers(self, connections: int) -> sa.Engine:
        """Connections that cannot write; each transaction sees one state of the database throughout."""
        return self._engine("BEGIN", "PRAGMA query_only=ON", connections=connections)

    def migrations(self) -> sa.Engine:
        """For schema changes: foreign keys unchecked, as rebuilding a table would empty those that name it."""
        return self._engine("BEGIN IMMEDIATE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")

    @staticmethod
    @contextlib.contextmanager
    def limited(connection: sa.Connection, over: Callable[[], bool]) -> Iterator[None]:
        """Interrupt whatever runs on `connection` soon after `over()` has become true."""
        driver = connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):  # a closed one has none
            raise TypeError("not a connection to SQLite")
        driver.set_progress_handler(lambda: int(over()), _STEPS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    @staticmethod
    def interrupted(error: sa.exc.DBAPIError) -> bool:
        """Whether this is `limited` at work."""
        return _name(error) == "SQLITE_INTERRUPT"

    @staticmethod
    def transient(error: sa.exc.DBAPIError) -> bool:
        """Whether the database could not, as opposed to would not: it says nothing about the statement's sense."""
        return isinstance(error, sa.exc.OperationalError) or type(error.orig) is sqlite3.DatabaseError

    @staticmethod
    def lost(error: sa.exc.DBAPIError) -> bool:  # noqa: ARG004 - no connection leads out of this process
        """Never."""
        return False

    @staticmethod
    def collided(error: sa.exc.DBAPIError) -> bool:  # noqa: ARG004 - there is one writer
        """Never."""
        return False

    @staticmethod
    def unavailable(error: sa.exc.DBAPIError) -> Unavailable:
        """What to tell whoever asked."""
        name = _name(error)
        for prefix, (cause, hint) in _CAUSES.items():
            if name.startswith(prefix):
                return Unavailable(f"the store cannot be used now: {cause}", hint=hint)
        return Unavailable(f"the store cannot be used now: {error.orig}", hint="look at the disk and the server's log")

    def _engine(self, begin: str, *pragmas: str, connections: int = 1) -> sa.Engine:
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(self.path)),
            poolclass=sa.QueuePool,
            pool_size=connections,
            max_overflow=0,
            # The driver's own idea of when a transaction begins is switched off; `begin` is ours.
            connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False, "isolation_level": None},
            hide_parameters=True,  # rows hold what users wrote, secrets among it: that stays out of errors and logs
        )

        def prepare(connection: sqlite3.Connection, _record: Any) -> None:
            for pragma in pragmas:
                connection.execute(pragma)

        sa.event.listen(engine, "connect", prepare)
        sa.event.listen(engine, "begin", lambda connection: execute(connection, _DIALECT, begin))
        return engine


def _name(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", ""))
