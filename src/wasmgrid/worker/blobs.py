"""Blobs on a worker's disk: inputs, sources and large stdins, fetched once and kept while there is room."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidField
from wasmgrid.worker.courier import Courier

KEEP_BYTES = 2 << 30


class BlobCache:
    """Files by digest under `directory`. What someone holds open is never evicted."""

    def __init__(self, directory: Path, courier: Courier, *, keep_bytes: int = KEEP_BYTES) -> None:
        self._directory = directory
        self._courier = courier
        self._keep_bytes = keep_bytes
        self._users: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.asynccontextmanager
    async def hold(self, sha256: str, *, max_bytes: int) -> AsyncIterator[Path]:
        """The blob's file, fetched where it is missing; it stays until this ends. Raises as `transfer.fetch`."""
        if not is_sha256(sha256):
            raise InvalidField(f"{sha256[:80]!r} is not a sha256", field="sha256")
        self._users[sha256] = self._users.get(sha256, 0) + 1
        try:
            yield await self._ensure(sha256, max_bytes)
        finally:
            self._users[sha256] -= 1
            if not self._users[sha256]:
                del self._users[sha256]
                self._locks.pop(sha256, None)

    async def _ensure(self, sha256: str, max_bytes: int) -> Path:
        path = self._directory / sha256
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            if path.exists():
                os.utime(path)
            else:
                await self._courier.fetch(sha256, path, max_bytes=max_bytes)
                await asyncio.to_thread(self._evict)
        return path

    def _evict(self) -> None:
        """Drop what was not used for longest until the rest fits."""
        files = [(entry.stat(), entry) for entry in os.scandir(self._directory) if is_sha256(entry.name)]
        total = sum(status.st_size for status, _ in files)
        for status, entry in sorted(files, key=lambda pair: pair[0].st_mtime):
            if total <= self._keep_bytes:
                return
            if entry.name not in self._users:
                Path(entry.path).unlink(missing_ok=True)
                total -= status.st_size
