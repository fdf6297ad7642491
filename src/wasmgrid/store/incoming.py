"""A blob on its way in, before it has a name."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from wasmgrid.store.blobs import check_expected, too_large
from wasmgrid.store.files import as_unavailable

T = TypeVar("T")

PIECE_BYTES = 1 << 20


class Incoming:
    """A blob on its way in: a file that nobody else has, gone at the end unless it became a blob."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / secrets.token_hex(16)
        self.digest = hashlib.sha256()
        self._using = threading.Lock()
        with as_unavailable():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._file = io.FileIO(descriptor, "w")

    def add(self, data: bytes) -> None:
        with self._using, as_unavailable():
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self.digest.update(data)

    def sync(self) -> None:
        with self._using:
            os.fsync(self._file.fileno())

    def read_back(self, piece_bytes: int) -> Iterator[bytes]:
        """What was added, in pieces of one size, the last shorter."""
        with self.path.open("rb") as file:
            while piece := file.read(piece_bytes):
                yield piece

    def end(self) -> None:
        with self._using:
            self._file.close()
            self.path.unlink(missing_ok=True)


class Run(Protocol):
    """Runs a function in a thread of the blobs', and waits for it."""

    def __call__(self, function: Callable[..., T], *args: object) -> Awaitable[T]: ...


@asynccontextmanager
async def arriving(directory: Path, threads: Executor, run: Run) -> AsyncIterator[Incoming]:
    """A new file in `directory`, gone when the block ends, whatever ends it."""
    incoming = await run(Incoming, directory)
    try:
        yield incoming
    finally:
        with suppress(RuntimeError):  # the pool is shut down: the next start removes the file
            threads.submit(incoming.end)  # behind a write that may still be under way after a cancellation


async def take_in(
    incoming: Incoming, chunks: AsyncIterator[bytes], run: Run, *, expected: str | None, max_bytes: int | None
) -> tuple[str, int]:
    """Add all that comes; its digest and size. Raises as `Blobs.put` does."""
    size = 0
    async for piece in _pieces(chunks):
        size += len(piece)
        if max_bytes is not None and size > max_bytes:
            raise too_large(max_bytes)
        await run(incoming.add, piece)
    sha256 = incoming.digest.hexdigest()
    check_expected(sha256, expected)
    return sha256, size


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces worth a thread's while."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)
