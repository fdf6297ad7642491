"""Statements for the hot path: compiled once, then they go to the driver as they are, with a tuple of values.

What SQLAlchemy does per statement costs ten times what SQLite needs for a row. Values are as the database has them:
text without NUL, times in microseconds, no enums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

Values = tuple[Any, ...]
Rows = Sequence[Values]


class Prepared:
    """One statement. `names` are its parameters, in the order in which their values are given."""

    __slots__ = ("_dialect", "_order", "_sql")

    def __init__(self, statement: sa.Executable, dialect: Dialect, names: Sequence[str] = ()) -> None:
        """`dialect` is one whose parameters have positions."""
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        taken: list[str] = compiled.positiontup or []
        constants = compiled.params
        self._sql: str = compiled.string
        self._dialect = dialect
        # Where each parameter comes from: a place among the given values, or a constant of the statement.
        order = [(names.index(name), None) if name in names else (-1, constants[name]) for name in taken]
        self._order = None if [place for place, _ in order] == list(range(len(names))) else order

    def __str__(self) -> str:
        return self._sql

    def rows(self, connection: sa.Connection, *values: Any) -> list[Values]:
        """All rows that it gives."""
        found = execute(connection, self._dialect, self._sql, self._placed(values))
        try:
            return found.fetchall()  # type: ignore[no-any-return]
        except Exception as error:
            raise _told(error, connection, self._dialect, self._sql) from error

    def change(self, connection: sa.Connection, *values: Any) -> int:
        """How many rows it changed."""
        return execute(connection, self._dialect, self._sql, self._placed(values)).rowcount  # type: ignore[no-any-return]

    def change_each(self, connection: sa.Connection, values: Rows) -> None:
        """Run it once for each of these."""
        if len(values) == 1:
            self.change(connection, *values[0])
        elif values:
            placed = [self._placed(each) for each in values]
            try:
                driver_of(connection).cursor().executemany(self._sql, placed)
            except Exception as error:
                raise _told(error, connection, self._dialect, self._sql) from error

    def _placed(self, values: Values) -> Values:
        if self._order is None:
            return values
        return tuple(constant if place < 0 else values[place] for place, constant in self._order)


def execute(connection: sa.Connection, dialect: Dialect, sql: str, values: Sequence[Any] = ()) -> Any:
    """Run this on the driver; its cursor. Errors are SQLAlchemy's, as everywhere else."""
    try:
        return driver_of(connection).execute(sql, values)
    except Exception as error:
        raise _told(error, connection, dialect, sql) from error


def driver_of(connection: sa.Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection


def batches(rows: Rows, largest: int) -> Iterator[Rows]:
    """The rows in pieces of `largest`, then of ever smaller powers of two: few different sizes, few statements."""
    at, size = 0, largest
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        yield rows[at : at + size]
        at += size


Adder = Callable[[sa.Connection, Rows], int]
"""Inserts rows but for those that are there already; how many were new."""


def _told(error: Exception, connection: sa.Connection, dialect: Dialect, sql: str) -> BaseException:
    """The driver's error as SQLAlchemy tells it; others as they are."""
    known: Any = dialect.loaded_dbapi
    if not isinstance(error, known.Error):
        return error
    gone = dialect.is_disconnect(error, driver_of(connection), None)
    made: Any = sa.exc.DBAPIError.instance
    told: BaseException = made(
        sql, None, error, known.Error, hide_parameters=True, connection_invalidated=gone, dialect=dialect
    )
    return told
