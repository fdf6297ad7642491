"""Blobs as rows: where several servers share a PostgreSQL, each finds what any of them kept.

What comes in is put aside in a file of this server's until its digest is known; then one transaction writes it, in
chunks. So nobody sees half a blob, and no connection waits for a slow sender. Chunks carry digests of their own, looked
at whenever they are read; the database looks at all of a blob's when this process first hears of it, and again when
its rows have changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import NotFound, Unavailable
from wasmgrid.store.blobs import RENEW_S, check_digest, check_expected, too_large
from wasmgrid.store.files import as_unavailable
from wasmgrid.store.incoming import PIECE_BYTES, arriving, take_in
from wasmgrid.store.postgres import Postgres
from wasmgrid.store.schema import Moment, blob_chunks, blobs

T = TypeVar("T")
Stamp = tuple[int, int, int]  # chunks, their bytes, the last transaction that wrote one

THREADS = 4
CHUNK_BYTES = 256 << 10
CHUNKS_AT_ONCE = 8
_STAMPS = 100_000

_sha256 = sa.bindparam("of_sha256", type_=sa.String)
_before = sa.bindparam("before", type_=Moment)
_digests: sa.BindParameter[Any] = sa.bindparam("digests", expanding=True)
_row = sa.literal_column("blobs.xmin::text", sa.String)  # changes whenever the row does

_insert_chunks = sa.insert(blob_chunks)
_look = (
    sa.select(
        blobs.c.size,
        blobs.c.told_at,
        _row.label("row"),
        sa.func.count(blob_chunks.c.number).label("chunks"),
        sa.func.coalesce(sa.func.sum(sa.func.octet_length(blob_chunks.c.data)), 0).label("held"),
        sa.literal_column("coalesce(max(blob_chunks.xmin::text::bigint), 0)").label("written"),
    )
    .select_from(blobs.outerjoin(blob_chunks))
    .where(blobs.c.sha256 == _sha256)
    .group_by(blobs.c.sha256)
)
_matches = sa.select(
    sa.func.coalesce(sa.func.bool_and(sa.func.sha256(blob_chunks.c.data) == blob_chunks.c.digest), sa.true())
).where(blob_chunks.c.sha256 == _sha256)
_read = (
    sa.select(blobs.c.size, _row.label("row"), blob_chunks.c.number, blob_chunks.c.digest, blob_chunks.c.data)
    .select_from(
        blobs.outerjoin(
            blob_chunks,
            (blob_chunks.c.sha256 == blobs.c.sha256)
            & blob_chunks.c.number.between(sa.bindparam("first"), sa.bindparam("last")),
        )
    )
    .where(blobs.c.sha256 == _sha256)
    .order_by(blob_chunks.c.number)
)
_drop = sa.delete(blobs).where(blobs.c.sha256 == _sha256, _row == sa.bindparam("seen"))
_sizes = sa.select(sa.func.coalesce(sa.func.sum(blobs.c.size), 0)).where(blobs.c.sha256.in_(_digests))
_scan = sa.select(blobs.c.sha256, blobs.c.size).where(blobs.c.told_at < _before).order_by(blobs.c.told_at)
_remove = sa.delete(blobs).where(blobs.c.sha256.in_(_digests), blobs.c.told_at < _before).returning(blobs.c.size)

_log = structlog.get_logger(__name__)


class RowBlobs:
    """The blobs of one database; `directory` is for what is on its way in and out."""

    def __init__(self, database: Postgres, directory: Path) -> None:
        self._database = database
        self._directory = directory
        self._engine = database.pool(THREADS + 1)  # and `scan`, in whoever's thread
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wasmgrid-store-blobs")
        self._checked: dict[str, Stamp] = {}
        self._closed = False
        self._opened_at = (
            time.monotonic()
        )  # every blob's grace begins anew: what was said of it may be on its way still
        self._now = sa.select(database.now)
        self._look = _look.add_columns(database.now.label("now"))
        told = database.insert(blobs).values(sha256=_sha256, size=sa.bindparam("of_size"), told_at=database.now)
        self._insert = told.on_conflict_do_nothing().returning(blobs.c.sha256)
        self._renew = sa.update(blobs).where(blobs.c.sha256 == _sha256).values(told_at=database.now)

    def open(self) -> None:
        """Make the directory; drop what was on its way when the last process ended."""
        with as_unavailable():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for entry in self._directory.iterdir():
                entry.unlink()

    async def close(self) -> None:
        """Wait for what is being written or read."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    async def put(
        self, data: bytes | AsyncIterator[bytes], *, expected: str | None = None, max_bytes: int | None = None
    ) -> tuple[str, int]:
        """Keep `data`; returns its digest and size once it is committed."""
        if expected is not None:
            check_digest(expected)
        if isinstance(data, bytes | bytearray | memoryview):
            return await self._run(self._put_bytes, bytes(data), expected, max_bytes)
        return await self._put_stream(data, expected, max_bytes)

    async def read(self, sha256: str, offset: int = 0, length: int | None = None) -> bytes:
        """Up to `length` bytes (None: all) from `offset`."""
        check_digest(sha256)
        return await self._run(self._read, sha256, offset, length)

    async def size(self, sha256: str) -> int | None:
        """Bytes of this blob, or None; renews it."""
        check_digest(sha256)
        return await self._run(self._size, sha256)

    @asynccontextmanager
    async def as_file(self, sha256: str) -> AsyncIterator[Path]:
        """A file with its bytes: a copy, for as long."""
        check_digest(sha256)
        copy = self._directory / secrets.token_hex(16)
        try:
            await self._run(self._copy, sha256, copy)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    @staticmethod
    def sizes_now(connection: sa.Connection, digests: Collection[str]) -> int:
        """Bytes of these blobs together, as the transaction sees them."""
        return int(connection.execute(_sizes, {"digests": list(digests)}).scalar_one()) if digests else 0

    def scan(self, *, older_than_s: float) -> Iterable[tuple[str, int]]:
        """Digest and size of every blob that nobody was told of for so long, by the database's clock."""
        if time.monotonic() - self._opened_at <= older_than_s:
            return []
        return self._guarded(self._scan, older_than_s)

    def remove(self, connection: sa.Connection, digests: Collection[str], *, older_than_s: float) -> list[int]:
        """Remove those of these blobs of which nobody was told since."""
        before = self._clock(connection) - timedelta(seconds=older_than_s)
        return list(connection.execute(_remove, {"digests": list(digests), "before": before}).scalars())

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        if self._closed:
            raise Unavailable("the store is shut down")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, function, *args)

    def _guarded(self, function: Callable[..., T], *args: object) -> T:
        """Run it, once more where a connection that waited in the pool had died: nothing here harms when done twice."""
        try:
            try:
                return function(*args)
            except sa.exc.DBAPIError as error:
                if not self._database.lost(error):
                    raise
                return function(*args)
        except sa.exc.DBAPIError as error:
            raise (self._database.unavailable(error) if self._database.transient(error) else error) from error

    def _put_bytes(self, data: bytes, expected: str | None, max_bytes: int | None) -> tuple[str, int]:
        if max_bytes is not None and len(data) > max_bytes:
            raise too_large(max_bytes)
        sha256 = sha256_hex(data)
        check_expected(sha256, expected)
        self._keep(sha256, len(data), lambda: _slices(data))
        return sha256, len(data)

    async def _put_stream(
        self, chunks: AsyncIterator[bytes], expected: str | None, max_bytes: int | None
    ) -> tuple[str, int]:
        async with arriving(self._directory, self._threads, self._run) as incoming:
            sha256, size = await take_in(incoming, chunks, self._run, expected=expected, max_bytes=max_bytes)
            await self._run(self._keep, sha256, size, partial(incoming.read_back, CHUNK_BYTES))
        return sha256, size

    def _keep(self, sha256: str, size: int, read: Callable[[], Iterator[bytes]]) -> None:
        """Have this blob, written now or by somebody else before."""
        while self._size(sha256) is None:
            with self._engine.begin() as connection:
                # Whoever writes the same is waited for here, and then there is nothing left to do.
                if connection.execute(self._insert, {"of_sha256": sha256, "of_size": size}).first() is None:
                    continue
                digest = hashlib.sha256()
                for rows in _rows(sha256, read()):
                    for row in rows:
                        digest.update(row["data"])
                    connection.execute(_insert_chunks, rows)
                if digest.hexdigest() != sha256:
                    raise Unavailable(
                        "the bytes changed between their coming in and being kept", hint="send them again"
                    )

    def _size(self, sha256: str) -> int | None:
        with self._engine.begin() as connection:
            found = connection.execute(self._look, {"of_sha256": sha256}).first()
            if found is None:
                return None
            stamp = (found.chunks, int(found.held), found.written)
            if self._checked.get(sha256) != stamp:
                if found.held != found.size or not connection.execute(_matches, {"of_sha256": sha256}).scalar_one():
                    self._drop(connection, sha256, found.row)
                    return None
                self._note(sha256, stamp)
            if found.now - found.told_at < timedelta(seconds=RENEW_S):
                return int(found.size)
            renewed = connection.execute(self._renew, {"of_sha256": sha256}).rowcount  # 0: removed since
            return int(found.size) if renewed else None

    def _read(self, sha256: str, offset: int, length: int | None) -> bytes:
        last = 1 << 30 if length is None else (offset + max(length, 1) - 1) // CHUNK_BYTES
        first = offset // CHUNK_BYTES
        with self._engine.begin() as connection:
            rows = connection.execute(_read, {"of_sha256": sha256, "first": first, "last": last}).all()
            if rows and _whole(rows, first, last):
                data = b"".join(row.data for row in rows if row.number is not None)
                start = offset - first * CHUNK_BYTES
                return data[start:] if length is None else data[start : start + length]
            if rows:
                self._drop(connection, sha256, rows[0].row)
        raise NotFound(f"there is no blob {sha256}")

    def _copy(self, sha256: str, path: Path) -> None:
        at = 0
        with path.open("wb") as file, as_unavailable():
            while piece := self._read(sha256, at, PIECE_BYTES):
                at += file.write(piece)

    def _scan(self, older_than_s: float) -> list[tuple[str, int]]:
        with self._engine.begin() as connection:
            before = self._clock(connection) - timedelta(seconds=older_than_s)
            return [(sha256, size) for sha256, size in connection.execute(_scan, {"before": before})]

    def _clock(self, connection: sa.Connection) -> Any:
        return connection.execute(self._now).scalar_one()

    def _note(self, sha256: str, stamp: Stamp) -> None:
        if len(self._checked) >= _STAMPS:
            self._checked.clear()
        self._checked[sha256] = stamp

    @staticmethod
    def _drop(connection: sa.Connection, sha256: str, seen: str) -> None:
        _log.error("store.blob_damaged", sha256=sha256, why="its bytes did not match its digest")
        connection.execute(_drop, {"of_sha256": sha256, "seen": seen})  # not a good one that took its place meanwhile


def _slices(data: bytes) -> Iterator[bytes]:
    return (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES))


def _rows(sha256: str, chunks: Iterator[bytes]) -> Iterator[list[dict[str, Any]]]:
    """Rows of chunks of the one size, some at a time."""
    waiting: list[dict[str, Any]] = []
    for number, data in enumerate(chunks):
        waiting.append({"sha256": sha256, "number": number, "digest": hashlib.sha256(data).digest(), "data": data})
        if len(waiting) == CHUNKS_AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _whole(rows: Sequence[sa.Row[Any]], first: int, last: int) -> bool:
    """Whether these are all the chunks that there must be in that range, each as it was."""
    size = rows[0].size
    wanted = range(first, min(last + 1, -(-size // CHUNK_BYTES)))
    there = [row for row in rows if row.number is not None]
    return [row.number for row in there] == list(wanted) and all(
        hashlib.sha256(row.data).digest() == row.digest
        and len(row.data) == min(CHUNK_BYTES, size - row.number * CHUNK_BYTES)
        for row in there
    )
