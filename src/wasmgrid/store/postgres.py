"""All that is particular to PostgreSQL: how to connect, its clock, its upsert, its time limits, what its errors mean.

A frozen or cut-off server must not hold up the others: a session that sits idle within a transaction is ended, and with
it what it locked; the take-over waits for no more than that.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import conninfo
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.engine import Dialect

from wasmgrid.core.errors import InvalidField, Unavailable
from wasmgrid.store.database import NextIds
from wasmgrid.store.interrupt import Interrupter
from wasmgrid.store.prepared import Adder, Prepared
from wasmgrid.store.schema import Moment

# The database's clock, in microseconds; it moves on within a transaction.
_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
_MIGRATION_LOCK = 0x7761736D67726964  # "wasmgrid"

URL_HINT = "postgresql://USER:PASSWORD@HOST/DATABASE · leave it out and the home holds the store"
IDLE_MS = 2500  # how long a transaction may sit idle
LOCK_MS = 10_000
CANCEL_S = 2.0
STATEMENT_MS = 60_000

_CONNECT = {
    "application_name": "wasmgrid",
    "connect_timeout": 5,
    # A peer that is gone without a word is noticed, and soon.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_CAUSES = {
    "53100": ("its disk is full", "free some space there"),
    "53300": ("it has no connection left", "raise its max_connections"),
    "25006": ("it is read-only", "name the primary in the store's URL: target_session_attrs=read-write"),
    "28": ("it refuses our user", "look at the user and the password in the store's URL"),
    "3D": ("there is no such database", "make it: createdb"),
    "42501": ("our user may not do this", "grant it the database: ALTER DATABASE ... OWNER TO ..."),
    "57P": ("it is starting or shutting down", "try again"),
    "XX": ("it reports damage", "look at its log"),
}
_LOST = ("57P01", "57P02", "57P03", "25P03", "25P04", "08")
_COLLIDED = {"40P01", "40001"}

_DIALECT: Dialect = psycopg_dialect.dialect(paramstyle="format", dbapi=psycopg)  # type: ignore[no-untyped-call]
_interrupter = Interrupter()  # one thread for all stores of this process


class Postgres:
    """A database on a PostgreSQL server, shared by any number of wasmgrid servers."""

    shared = True
    now: sa.ColumnElement[datetime] = sa.literal_column(_NOW, Moment)
    insert = staticmethod(postgresql.insert)

    def __init__(self, url: str) -> None:
        """`url` is libpq's: several hosts, TLS and the rest as it says. Raises `InvalidField`."""
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.Error:  # its words may quote the password
            raise InvalidField("the store's URL is none that PostgreSQL knows", hint=URL_HINT) from None
        self._given: Mapping[str, Any] = {**_CONNECT, **given}

    @staticmethod
    def prepared(statement: sa.Executable, *names: str) -> Prepared:
        """The statement for the hot path."""
        return Prepared(statement, _DIALECT, names)

    @staticmethod
    def adder(table: sa.Table, *columns: str) -> Adder:
        """Inserts rows that travel as one array per column: twice as fast as a parameter for each value."""
        arrays = [sa.bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in columns]
        given = sa.func.unnest(*arrays).table_valued(*columns).render_derived()
        new = postgresql.insert(table).from_select(list(columns), sa.select(*given.c)).on_conflict_do_nothing()
        statement = Prepared(new, _DIALECT, columns)
        return lambda connection, rows: statement.change(connection, *map(list, zip(*rows, strict=True)))

    @staticmethod
    def numbers(name: str) -> sa.FromClause:
        """They travel as an array."""
        array = sa.bindparam(name, type_=postgresql.ARRAY(sa.BigInteger))
        return sa.func.unnest(array).table_valued("value").render_derived()

    @staticmethod
    def number_list(numbers: Sequence[int]) -> list[int]:
        """As an array."""
        return list(numbers)

    @staticmethod
    def next_ids(table: str) -> NextIds:
        """From the table's sequence: servers that draw at the same time get different ones."""
        sequence = sa.func.pg_get_serial_sequence(table, "id")
        many = sa.func.generate_series(1, sa.bindparam("count", type_=sa.Integer)).table_valued("number")
        drawn = sa.select(sa.func.nextval(sequence), sa.literal_column(_NOW)).select_from(many)
        statement = Prepared(drawn, _DIALECT, ["count"])

        def draw(connection: sa.Connection, count: int) -> tuple[Sequence[int], int]:
            rows = statement.rows(connection, count)
            return [number for number, _ in rows], rows[0][1]

        return draw

    @property
    def place(self) -> str:
        """Where it is."""
        return (
            f"postgresql://{self._given.get('host', '')}:{self._given.get('port', '')}/{self._given.get('dbname', '')}"
        )

    def prepare(self) -> None:
        """Nothing: the database is made by whoever runs the server."""

    def writer(self) -> sa.Engine:
        """One connection that writes; what it committed is on the disk."""
        return self._engine(
            synchronous_commit="on",
            idle_in_transaction_session_timeout=IDLE_MS,
            lock_timeout=LOCK_MS,
            statement_timeout=STATEMENT_MS,
        )

    def readers(self, connections: int) -> sa.Engine:
        """Connections that cannot write; each transaction sees one state of the database throughout."""
        return self._engine(
            connections,
            default_transaction_read_only="on",
            default_transaction_isolation=r"repeatable\ read",
            statement_timeout=STATEMENT_MS,
        )

    def pool(self, connections: int) -> sa.Engine:
        """Connections that read and write, for what is large and outside of the writer's order."""
        return self._engine(connections, synchronous_commit="on", statement_timeout=STATEMENT_MS)

    def migrations(self) -> sa.Engine:
        """A connection that changes the schema, alone: servers that start together do it one after the other."""
        engine = self._engine(synchronous_commit="on")
        lock = f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(lock))
        return engine

    @contextlib.contextmanager
    def limited(self, connection: sa.Connection, over: Callable[[], bool]) -> Iterator[None]:
        """Interrupt whatever runs on `connection` soon after `over()` has become true."""
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):  # a closed one has none
            raise TypeError("not a connection to PostgreSQL")
        with _interrupter.watching(lambda: _interrupt(driver), over) as watched:
            try:
                yield
            finally:
                watched.end()
                if watched.interrupted:  # it may arrive late, and would hit the next query
                    connection.invalidate()

    @staticmethod
    def interrupted(error: sa.exc.DBAPIError) -> bool:
        """Whether this is `limited` at work."""
        return _state(error) == "57014"

    @staticmethod
    def transient(error: sa.exc.DBAPIError) -> bool:
        """Whether the database could not, as opposed to would not: it says nothing about the statement's sense."""
        return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.InternalError)

    @staticmethod
    def lost(error: sa.exc.DBAPIError) -> bool:
        """Whether the connection is gone, and with it its transaction: a new one may do better."""
        return error.connection_invalidated or _state(error).startswith(_LOST)

    @staticmethod
    def collided(error: sa.exc.DBAPIError) -> bool:
        """Whether the transaction gave way to another that was at the same rows."""
        return _state(error) in _COLLIDED

    @staticmethod
    def unavailable(error: sa.exc.DBAPIError) -> Unavailable:
        """What to tell whoever asked."""
        state = _state(error)
        for prefix, (cause, hint) in _CAUSES.items():
            if state.startswith(prefix):
                return Unavailable(f"the store cannot be used now: PostgreSQL says that {cause}", hint=hint)
        words = " ".join(str(error.orig).split())
        return Unavailable(f"the store cannot be used now: {words}", hint="look at PostgreSQL and its log")

    def _engine(self, connections: int = 1, **settings: object) -> sa.Engine:
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        given = dict(self._given, options=f"{self._given.get('options', '')} {options}".strip())
        return sa.create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(**given),
            poolclass=sa.QueuePool,
            pool_size=connections,
            max_overflow=0,
            use_native_hstore=False,
            hide_parameters=True,  # rows hold what users wrote, secrets among it: that stays out of errors and logs
        )


def _interrupt(connection: psycopg.Connection[Any]) -> None:
    """Have the server stop what it does; where it does not even answer that, hang up."""
    try:
        connection.cancel_safe(timeout=CANCEL_S)
    except psycopg.Error:
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def _state(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
