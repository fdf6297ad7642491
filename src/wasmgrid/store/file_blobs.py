"""Blobs as files that are on the disk when `put` returns: where one server keeps its grid's.

    blobs/ab/cdef...   a blob; the path is made of its checked digest and nothing else
    blobs/tmp/...      blobs on their way in; none survives a start

Each is checked against its digest when a process first reads it and again when its file has changed.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
import structlog

from wasmgrid.core.digest import is_sha256, sha256_hex
from wasmgrid.core.errors import NotFound, Unavailable
from wasmgrid.store.blobs import RENEW_S, check_digest, check_expected, too_large
from wasmgrid.store.files import as_unavailable, sync_directory
from wasmgrid.store.incoming import Incoming, arriving, take_in

T = TypeVar("T")
Stamp = tuple[int, int, int]  # size, inode, time of the last change in nanoseconds

THREADS = 4
_STAMPS = 100_000

_log = structlog.get_logger(__name__)


class FileBlobs:
    """The blobs of one store directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._incoming = directory / "tmp"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wasmgrid-store-blobs")
        self._checked: dict[str, Stamp] = {}  # files that were seen to match their digests
        self._fate = threading.Lock()  # between looking at a file's age and removing or renewing it
        self._closed = False
        self._opened_at = time.time()  # every blob's grace begins anew: what was said of it may be on its way still

    def open(self) -> None:
        """Make the directories; drop what was on its way in when the last process ended."""
        with as_unavailable():
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(self._directory.parent)
            sync_directory(self._directory)
            for entry in self._incoming.iterdir():
                entry.unlink()

    async def close(self) -> None:
        """Wait for what is being written or read."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    async def put(
        self, data: bytes | AsyncIterator[bytes], *, expected: str | None = None, max_bytes: int | None = None
    ) -> tuple[str, int]:
        """Keep `data`; returns its digest and size once it is on the disk."""
        if expected is not None:
            check_digest(expected)
        if isinstance(data, bytes | bytearray | memoryview):
            return await self._run(self._put_bytes, bytes(data), expected, max_bytes)
        return await self._put_stream(data, expected, max_bytes)

    async def read(self, sha256: str, offset: int = 0, length: int | None = None) -> bytes:
        """Up to `length` bytes (None: all) from `offset`."""
        return await self._run(self._read, sha256, offset, length)

    async def size(self, sha256: str) -> int | None:
        """Bytes of this blob, or None; renews it."""
        return await self._run(self._size, sha256)

    def path(self, sha256: str) -> Path:
        """Where this blob is, if it is. For reading; what is behind it is not checked here."""
        check_digest(sha256)
        return self._directory / sha256[:2] / sha256[2:]

    @asynccontextmanager
    async def as_file(self, sha256: str) -> AsyncIterator[Path]:
        """A file with its bytes: the blob's own."""
        await self.read(sha256, 0, 0)
        yield self.path(sha256)

    def sizes_now(self, _connection: sa.Connection, digests: Collection[str]) -> int:
        """Bytes of these blobs' files together: a look at the directory, cheap enough for the writer's thread."""
        total = 0
        for sha256 in digests:
            with suppress(OSError):
                total += self.path(sha256).lstat().st_size
        return total

    def scan(self, *, older_than_s: float) -> Iterator[tuple[str, int]]:
        """Digest and size of every blob that nobody was told of for so long. Blocks."""
        before = time.time() - older_than_s
        if self._opened_at >= before:
            return
        with as_unavailable():
            for directory in sorted(self._directory.iterdir()):
                if len(directory.name) != 2 or not directory.is_dir():
                    continue
                for entry in os.scandir(directory):
                    sha256 = directory.name + entry.name
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if is_sha256(sha256) and status.st_mtime < before:
                            yield sha256, status.st_size

    def remove(self, _connection: sa.Connection, digests: Collection[str], *, older_than_s: float) -> list[int]:
        """Remove those of these blobs of which nobody was told since; returns their bytes. Blocks."""
        sizes = (self._remove(sha256, older_than_s) for sha256 in digests)
        return [size for size in sizes if size is not None]

    def _remove(self, sha256: str, older_than_s: float) -> int | None:
        path = self.path(sha256)
        with self._fate, as_unavailable():
            try:
                status = path.lstat()
            except FileNotFoundError:
                return None
            if status.st_mtime >= time.time() - older_than_s:
                return None
            path.unlink()
            self._checked.pop(sha256, None)
            return status.st_size

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        if self._closed:
            raise Unavailable("the store is shut down")
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _put_bytes(self, data: bytes, expected: str | None, max_bytes: int | None) -> tuple[str, int]:
        if max_bytes is not None and len(data) > max_bytes:
            raise too_large(max_bytes)
        sha256 = sha256_hex(data)
        check_expected(sha256, expected)
        if self._size(sha256) != len(data):
            incoming = Incoming(self._incoming)
            try:
                incoming.add(data)
                self._settle(incoming, sha256)
            finally:
                incoming.end()
        return sha256, len(data)

    async def _put_stream(
        self, chunks: AsyncIterator[bytes], expected: str | None, max_bytes: int | None
    ) -> tuple[str, int]:
        async with arriving(self._incoming, self._threads, self._run) as incoming:
            sha256, size = await take_in(incoming, chunks, self._run, expected=expected, max_bytes=max_bytes)
            await self._run(self._settle, incoming, sha256)
        return sha256, size

    def _settle(self, incoming: Incoming, sha256: str) -> None:
        """Make what came in the blob of this digest: its bytes first, then its name, each on the disk."""
        path = self.path(sha256)
        with as_unavailable():
            incoming.sync()
            with self._fate:  # until the name is on the disk, nobody is told that the blob is there
                if not path.parent.is_dir():
                    path.parent.mkdir(mode=0o700)
                    sync_directory(self._directory)
                incoming.path.replace(path)  # also over a symlink or a damaged file: never through it
                sync_directory(path.parent)
                self._note(sha256, _stamp(path.lstat()))

    def _size(self, sha256: str) -> int | None:
        with as_unavailable():
            while True:  # another put of the same bytes may take its place meanwhile: then it is asked of that one
                try:
                    descriptor = self._open(sha256)
                except FileNotFoundError:
                    return None
                try:
                    size = self._renew(sha256, descriptor)
                finally:
                    os.close(descriptor)
                if size is not None:
                    return size

    def _read(self, sha256: str, offset: int, length: int | None) -> bytes:
        with as_unavailable():
            try:
                descriptor = self._open(sha256)
            except FileNotFoundError:
                raise NotFound(f"there is no blob {sha256}") from None
            try:
                rest = max(0, os.fstat(descriptor).st_size - offset)
                return _pread(descriptor, rest if length is None else min(length, rest), offset)
            finally:
                os.close(descriptor)

    def _open(self, sha256: str) -> int:
        """Open a blob that matches its digest; FileNotFoundError where there is none, also where it was damaged."""
        path = self.path(sha256)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                self._drop(sha256, path.lstat().st_ino, "a symlink was in its place")
                raise FileNotFoundError from error
            raise
        try:
            stamp = _stamp(os.fstat(descriptor))
            if self._checked.get(sha256) != stamp:
                with open(descriptor, "rb", closefd=False) as file:
                    matches = hashlib.file_digest(file, "sha256").hexdigest() == sha256
                if not matches:
                    self._drop(sha256, stamp[1], "its bytes did not match its digest")
                    raise FileNotFoundError
                self._note(sha256, stamp)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _renew(self, sha256: str, descriptor: int) -> int | None:
        """Its size, and its age is nil from now on; None where it was removed or replaced since it was opened."""
        with self._fate:
            status = os.fstat(descriptor)
            if status.st_nlink == 0:
                return None
            if status.st_mtime < time.time() - RENEW_S:
                os.utime(descriptor)
                self._note(sha256, _stamp(os.fstat(descriptor)))
            return status.st_size

    def _note(self, sha256: str, stamp: Stamp) -> None:
        if len(self._checked) >= _STAMPS:
            self._checked.clear()
        self._checked[sha256] = stamp

    def _drop(self, sha256: str, inode: int, why: str) -> None:
        _log.error("store.blob_damaged", sha256=sha256, why=why)
        path = self.path(sha256)
        with self._fate, suppress(FileNotFoundError):
            if path.lstat().st_ino == inode:  # else a good one took its place meanwhile
                path.unlink()


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(descriptor, length, offset)):
        pieces.append(piece)
        length -= len(piece)
        offset += len(piece)
    return b"".join(pieces)


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_ino, status.st_ctime_ns
