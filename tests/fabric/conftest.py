"""A real nats-server per test, a directory that acts as the store's blobs, and a loop to run it all in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wasmgrid.core.errors import DigestMismatch, TooLarge
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.home import FabricEndpoint, Home

DEADLINE_S = 60.0


class DirectoryBlobs:
    """The store's blobs as far as the fabric needs them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def size(self, sha256: str) -> int | None:
        path = self.directory / sha256
        return path.stat().st_size if path.exists() else None

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        with (self.directory / sha256).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    async def put(self, data: bytes | AsyncIterator[bytes], *, expected: str | None, max_bytes: int) -> tuple[str, int]:
        assert not isinstance(data, bytes)
        whole = b"".join([piece async for piece in data])
        sha256 = hashlib.sha256(whole).hexdigest()
        if len(whole) > max_bytes:
            raise TooLarge("too many bytes")
        if sha256 != expected:
            raise DigestMismatch("other bytes than named")
        (self.directory / sha256).write_bytes(whole)
        return sha256, len(whole)

    def add(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        (self.directory / sha256).write_bytes(data)
        return sha256


class Grid:
    """A home, its nats-server, and connections that are closed when the test ends."""

    def __init__(self, home: Home, nats: EmbeddedNats, endpoint: FabricEndpoint) -> None:
        self.home = home
        self.nats = nats
        self.endpoint = endpoint
        self.fabrics: list[Fabric] = []

    async def connect(self, name: str = "test", **options: Any) -> Fabric:
        def endpoint() -> FabricEndpoint:
            written = self.home.fabric()
            assert written is not None
            return written

        fabric = await Fabric.connect(endpoint, name=name, wait_s=DEADLINE_S, **options)
        self.fabrics.append(fabric)
        return fabric


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, under a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 -- the conditions have no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _grid(path: Path) -> AsyncIterator[Grid]:
    home = Home(path / "home").create()
    nats = EmbeddedNats(home)
    grid = Grid(home, nats, await nats.start())
    try:
        yield grid
    finally:
        for fabric in grid.fabrics:
            await fabric.close()
        await nats.stop()


@pytest.fixture
def in_grid(tmp_path: Path) -> Callable[[Callable[[Grid], Awaitable[None]]], None]:
    """Run a coroutine function with a grid of its own."""

    def run(test: Callable[[Grid], Awaitable[None]]) -> None:
        async def inside() -> None:
            async with _grid(tmp_path) as grid:
                await test(grid)

        asyncio.run(inside())

    return run


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    directory = tmp_path / "blobs"
    directory.mkdir()
    return DirectoryBlobs(directory)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    return until
