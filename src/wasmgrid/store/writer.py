"""The group-commit writer: all writes go through one thread, and those that wait together share one commit.

A request is a function over a connection. It returns after the commit that holds it, never before. A request that
raises is rolled back to its own savepoint and leaves the rest of its batch alone. Where the database itself fails
(disk full, locked), everyone in the batch is told `Unavailable`, nothing of it is kept, and the next batch tries anew
with a new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
import structlog

from wasmgrid.core.errors import Unavailable
from wasmgrid.store.sqlite import Sqlite

T = TypeVar("T")
Operation = Callable[[sa.Connection], T]

MAX_BATCH = 512
MAX_WAITING = 10_000

_log = structlog.get_logger(__name__)


class _Request(Generic[T]):
    """One operation on its way: then either its value or what it raised."""

    __slots__ = ("error", "future", "operation", "value")

    def __init__(self, operation: Operation[T], future: asyncio.Future[T]) -> None:
        self.operation = operation
        self.future = future
        self.value: T | None = None
        self.error: BaseException | None = None

    def deliver(self) -> None:
        if self.future.done():  # whoever asked is gone
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)  # type: ignore[arg-type]


class Writer:
    """Runs write operations, many to a commit. Use it from one event loop."""

    def __init__(self, database: Sqlite) -> None:
        self._database = database
        self._engine = database.writer()
        self._waiting: queue.SimpleQueue[_Request[Any] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._connection: sa.Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="wasmgrid-store-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        """What `operation` returns, once committed. Raises what it raised, or `Unavailable`; then it left nothing."""
        if self._closed:
            raise Unavailable("the store is shut down")
        if self._waiting.qsize() >= MAX_WAITING:
            raise Unavailable("too many writes wait for the disk", hint="try again")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(_Request(operation, future))
        return await future

    async def close(self) -> None:
        """Commit what waits, then end the thread."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while batch := self._next_batch():
            self._commit(batch)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(_deliver, batch)
        self._drop_connection()
        self._engine.dispose()

    def _next_batch(self) -> list[_Request[Any]]:
        """Those that wait now, at least one; none once the writer is closed."""
        batch: list[_Request[Any]] = []
        request = self._waiting.get()
        while request is not None:
            batch.append(request)
            if len(batch) == MAX_BATCH:
                return batch
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                return batch
        self._waiting.put(None)  # the end is seen again once this batch is done
        return batch

    def _commit(self, batch: list[_Request[Any]]) -> None:
        """Run a batch in one transaction; where the database fails inside a request, each in one of its own."""
        try:
            with self._transaction() as connection:
                for request in batch:
                    self._run(request, connection, alone=len(batch) == 1)
        except _RequestBroke as broke:
            self._drop_connection()
            if len(batch) > 1:
                for request in batch:
                    self._commit([request])
            else:
                self._refuse(batch, broke.error)
        except sa.exc.DBAPIError as error:
            self._refuse(batch, error)
        except Exception as error:  # noqa: BLE001 - the thread must live on: all later writes depend on it
            _log.exception("store.writer_failed")
            self._drop_connection()
            for request in batch:
                request.error = error

    def _run(self, request: _Request[Any], connection: sa.Connection, *, alone: bool) -> None:
        request.error = None
        try:
            if alone:
                request.value = request.operation(connection)
                return
            connection.exec_driver_sql("SAVEPOINT request")
            request.value = request.operation(connection)
            connection.exec_driver_sql("RELEASE SAVEPOINT request")
        except Exception as error:
            if isinstance(error, sa.exc.DBAPIError) and self._database.transient(error):
                raise _RequestBroke(error) from error  # the whole transaction may be gone by now
            request.error = error
            if alone:
                raise _Refused from None
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT request")
            connection.exec_driver_sql("RELEASE SAVEPOINT request")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self._connection is None:
            self._connection = self._engine.connect()
        with contextlib.suppress(_Refused), self._connection.begin():
            yield self._connection

    def _refuse(self, batch: list[_Request[Any]], error: sa.exc.DBAPIError) -> None:
        self._drop_connection()
        _log.warning("store.write_failed", error=str(error.orig), requests=len(batch))
        for request in batch:
            request.error = self._database.unavailable(error) if self._database.transient(error) else error

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


class _RequestBroke(Exception):
    """The database failed while a request ran: the transaction cannot be trusted any more."""

    def __init__(self, error: sa.exc.DBAPIError) -> None:
        super().__init__(str(error.orig))
        self.error = error


class _Refused(Exception):
    """Rolls back the transaction of a request that is alone in it."""


def _deliver(batch: list[_Request[Any]]) -> None:
    for request in batch:
        request.deliver()
