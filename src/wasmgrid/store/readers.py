"""Bounded readers: a few threads with connections that cannot write, every query under a deadline.

The deadline counts from the request, so a query that waited too long for a thread is not even begun: a flood of slow
reads costs its callers, not the writer and not the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from wasmgrid.core.errors import TimedOutWaiting, Unavailable
from wasmgrid.store.database import Database

T = TypeVar("T")
Query = Callable[[sa.Connection], T]

THREADS = 4
MAX_WAITING = 2000
TIME_LIMIT_S = 10.0


class Readers:
    """Runs queries off the event loop, at most `THREADS` at once."""

    def __init__(self, database: Database, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._database = database
        self._engine = database.readers(THREADS)
        self._time_limit_s = time_limit_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wasmgrid-store-reader")
        self._waiting = 0
        self._closed = False

    async def run(self, query: Query[T], *, time_limit_s: float | None = None) -> T:
        """What `query` returns. Raises `TimedOutWaiting` past its time limit, `Unavailable` where it cannot be run."""
        if self._closed:
            raise Unavailable("the store is shut down")
        if self._waiting >= MAX_WAITING:
            raise Unavailable("too many reads wait for the store", hint="try again")
        deadline = time.monotonic() + (self._time_limit_s if time_limit_s is None else time_limit_s)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query, deadline)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Interrupt what runs, refuse what waits, close the connections."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _query(self, query: Query[T], deadline: float) -> T:
        def over() -> bool:
            return self._closed or time.monotonic() > deadline

        try:
            try:
                return self._ask(query, over)
            except sa.exc.DBAPIError as error:
                if not self._database.lost(error):
                    raise
                return self._ask(query, over)  # connections that wait in the pool die with a restart of the database
        except sa.exc.DBAPIError as error:
            if self._database.interrupted(error):
                raise _too_late() from error
            raise (self._database.unavailable(error) if self._database.transient(error) else error) from error

    def _ask(self, query: Query[T], over: Callable[[], bool]) -> T:
        if over():
            raise _too_late()
        with self._engine.connect() as connection, self._database.limited(connection, over), connection.begin():
            return query(connection)


def _too_late() -> TimedOutWaiting:
    return TimedOutWaiting("the store did not answer in time", hint="ask for less, or try again")
