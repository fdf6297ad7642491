"""The group-commit writer: all writes go through one thread, and those that wait together share one commit.

A request is a function over a connection. It returns after the commit that holds it, never before. A batch is run as
one transaction; where a request of it raises, it is run again with a savepoint around each, so that this one is rolled
back alone. Requests may therefore run more than once, and leave nothing behind but what they wrote. Those that are
`Joint` are run as one with their like, whatever the order in which those of different kinds came.

Where the database itself fails (disk full, locked, cut off), everyone in the batch is told `Unavailable`, nothing of it
is kept, and the next batch tries anew with a new connection. See `marks.py` for a commit whose answer was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from wasmgrid.core.errors import Unavailable
from wasmgrid.store.database import Database
from wasmgrid.store.marks import Marks

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Operation = Callable[[sa.Connection], T]


class Joint(Protocol[T_co]):
    """An operation that costs less together with its like: `kind` says which those are.

    Those of different kinds that wait at the same time have nothing to do with each other.
    """

    @property
    def kind(self) -> Hashable:
        """Never None."""

    def __call__(self, connection: sa.Connection) -> T_co:
        """Run it alone."""

    def together(self, connection: sa.Connection, operations: Sequence[Any]) -> Sequence[T_co]:
        """Run all of these, itself the first: what each returns, as if they had been run in order."""


MAX_BATCH = 512
MAX_WAITING = 10_000
TRIES = 4  # of a transaction that gave way to others

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

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = database.writer()
        self._marks = Marks(database) if database.shared else None
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
            try:
                self._commit(batch)
            except Exception as error:  # noqa: BLE001 - the thread must live on: all later writes depend on it
                _log.exception("store.writer_failed")
                self._drop_connection()
                for request in batch:
                    request.error = error
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
        cut_off = False
        for _ in range(TRIES):
            try:
                self._transact(batch)
            except _Broke as broke:
                self._drop_connection()
                if self._database.lost(broke.error):
                    if cut_off:
                        self._refuse(batch, broke.error)
                        return
                    cut_off = True  # maybe while it waited for work: a new connection may do
                elif len(batch) > 1:
                    for request in batch:
                        self._commit([request])
                    return
                elif not self._database.collided(broke.error):
                    self._refuse(batch, broke.error)
                    return
            except sa.exc.DBAPIError as error:
                self._refuse(batch, error)
                return
            else:
                return
        self._refuse_collided(batch)

    def _transact(self, batch: list[_Request[Any]]) -> None:
        """One transaction, or one more with savepoints where a request raised in the first. Raises where it fails."""
        try:
            self._run_all(batch, savepoints=False)
        except _Refused:
            if len(batch) > 1:
                self._run_all(batch, savepoints=True)

    def _run_all(self, batch: list[_Request[Any]], *, savepoints: bool) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
        connection = self._connection
        with contextlib.ExitStack() as undo:
            transaction = connection.begin()
            undo.callback(self._roll_back, transaction)
            for some in _groups(batch, joint=not savepoints):
                self._run(some, connection, savepoint=savepoints)
            mark = self._marks.set(connection) if self._marks is not None else None
            undo.pop_all()
        try:
            transaction.commit()
        except sa.exc.DBAPIError as error:
            if self._marks is None or mark is None or not self._database.lost(error):
                raise
            self._drop_connection()
            if not self._marks.committed(self._engine, mark, error):
                raise _Broke(error) from error

    def _run(self, requests: Sequence[_Request[Any]], connection: sa.Connection, *, savepoint: bool) -> None:
        """One request, or several that are joint."""
        first = requests[0]
        first.error = None
        try:
            if savepoint:
                connection.exec_driver_sql("SAVEPOINT request")
            if len(requests) == 1:
                first.value = first.operation(connection)
            else:
                joint: Joint[Any] = first.operation  # type: ignore[assignment]  # _groups saw to it
                values = joint.together(connection, [request.operation for request in requests])
                for request, value in zip(requests, values, strict=True):
                    request.value, request.error = value, None
            if savepoint:
                connection.exec_driver_sql("RELEASE SAVEPOINT request")
        except Exception as error:
            if isinstance(error, sa.exc.DBAPIError) and self._database.transient(error):
                raise _Broke(error) from error  # the whole transaction may be gone by now
            first.error = error
            if not savepoint:
                raise _Refused from None
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT request")
            connection.exec_driver_sql("RELEASE SAVEPOINT request")

    def _roll_back(self, transaction: sa.RootTransaction) -> None:
        try:
            transaction.rollback()
        except sa.exc.DBAPIError:
            self._drop_connection()

    def _refuse(self, batch: list[_Request[Any]], error: sa.exc.DBAPIError) -> None:
        self._drop_connection()
        _log.warning("store.write_failed", error=str(error.orig), requests=len(batch))
        for request in batch:
            request.error = self._database.unavailable(error) if self._database.transient(error) else error

    def _refuse_collided(self, batch: list[_Request[Any]]) -> None:
        _log.warning("store.write_gave_way", requests=len(batch), times=TRIES)
        for request in batch:
            request.error = Unavailable("other servers were at the same rows, again and again", hint="try again")

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


class _Broke(Exception):
    """The database failed within a transaction: nothing of it was kept, and it may be worth another try."""

    def __init__(self, error: sa.exc.DBAPIError) -> None:
        super().__init__(str(error.orig))
        self.error = error


class _Refused(Exception):
    """Rolls back a transaction without savepoints: one of its requests raised."""


def _groups(batch: list[_Request[Any]], *, joint: bool) -> Iterator[list[_Request[Any]]]:
    """The batch in order, but that joint requests of one kind go together where only other joint ones are between."""
    for is_joint, some in groupby(batch, key=lambda request: joint and hasattr(request.operation, "kind")):
        if not is_joint:
            yield from ([request] for request in some)
            continue
        kinds: dict[Hashable, list[_Request[Any]]] = {}
        for request in some:
            kinds.setdefault(request.operation.kind, []).append(request)  # type: ignore[attr-defined]
        yield from kinds.values()


def _deliver(batch: list[_Request[Any]]) -> None:
    for request in batch:
        request.deliver()
