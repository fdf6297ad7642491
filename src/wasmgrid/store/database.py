"""What the store needs of a database. `sqlite.py` and `postgres.py` give it, under one schema and one facade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa

from wasmgrid.core.errors import Unavailable
from wasmgrid.store.prepared import Adder, Prepared

if TYPE_CHECKING:  # importing a dialect costs a start some 30 ms, and a grid needs one of them
    from sqlalchemy.dialects import postgresql, sqlite

NextIds = Callable[[sa.Connection, int], tuple[Sequence[int], int]]
InsertInto = Callable[[sa.Table], "sqlite.Insert | postgresql.Insert"]  # with ON CONFLICT, which both say alike


class Database(Protocol):
    """How to connect, the clock, the upsert, the time limit, and what its errors mean."""

    @property
    def place(self) -> str:
        """Where it is, for messages; no password."""

    @property
    def shared(self) -> bool:
        """Whether other servers write to it too, over connections that can break while a commit is on its way."""

    @property
    def now(self) -> sa.ColumnElement[datetime]:
        """Its clock."""

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """INSERT with ON CONFLICT."""

    def prepared(self, statement: sa.Executable, *names: str) -> Prepared:
        """The statement for the hot path; `names` are its parameters, in the order of their values."""

    def adder(self, table: sa.Table, *columns: str) -> Adder:
        """Inserts rows (tuples of these columns' values), many at once, but for those that are there already."""

    def numbers(self, name: str) -> sa.FromClause:
        """A table with the column `value`: the whole numbers that the parameter `name` gives, by `number_list`."""

    def number_list(self, numbers: Sequence[int]) -> Any:
        """The value of such a parameter."""

    def next_ids(self, table: str) -> NextIds:
        """Draws so many numbers for new rows, each given once for ever, and tells the time, in microseconds."""

    def prepare(self) -> None:
        """Before the first connection. Raises `Unavailable`."""

    def writer(self) -> sa.Engine:
        """One connection that writes; what it committed is on the disk."""

    def readers(self, connections: int) -> sa.Engine:
        """Connections that cannot write; each transaction sees one state of the database throughout."""

    def migrations(self) -> sa.Engine:
        """A connection that changes the schema, alone."""

    def limited(self, connection: sa.Connection, over: Callable[[], bool]) -> AbstractContextManager[None]:
        """Interrupt whatever runs on `connection` soon after `over()` has become true."""

    def interrupted(self, error: sa.exc.DBAPIError) -> bool:
        """Whether this is `limited` at work."""

    def transient(self, error: sa.exc.DBAPIError) -> bool:
        """Whether the database could not, as opposed to would not: it says nothing about the statement's sense."""

    def lost(self, error: sa.exc.DBAPIError) -> bool:
        """Whether the connection is gone, and with it its transaction: a new one may do better."""

    def collided(self, error: sa.exc.DBAPIError) -> bool:
        """Whether the transaction gave way to another that was at the same rows: it may be run again as it is."""

    def unavailable(self, error: sa.exc.DBAPIError) -> Unavailable:
        """What to tell whoever asked."""
