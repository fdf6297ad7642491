"""Modules that come in: judged before they are kept as modules, and never compiled here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from wasmgrid.build.wasm import inspect
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidModule, TooLarge
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.units import format_bytes
from wasmgrid.store import Store

LIBRARY = "library"  # a module that is no program: its functions are called
REMEMBERED = 4096  # sizes of modules, so that a job of a known module asks the store for nothing
TRUSTED_S = 60.0  # for so long a module that was seen is there still: far below any prune's grace period


class Modules:
    """The store's modules as the API sees them."""

    def __init__(self, store: Store, ceiling: Ceiling) -> None:
        self._store = store
        self._ceiling = ceiling
        self._sizes: dict[str, tuple[int, float]] = {}  # and when it was seen
        self._libraries: set[str] = set()  # those of them that are no programs
        self._judging = asyncio.Semaphore(1)  # validation takes a core and memory; one at a time

    async def size(self, sha256: str | None) -> int | None:
        """How many bytes a module has; None where there is none."""
        if sha256 is None:
            return None
        size, seen_at = self._sizes.get(sha256, (None, 0.0))
        if size is None or seen_at < time.monotonic() - TRUSTED_S:
            row = await self._store.module(sha256)
            if row is None or await self._store.blobs.size(sha256) is None:
                self._sizes.pop(sha256, None)
                return None
            size = row.size
            self._remember(sha256, size, row.kind)
        return size

    def check_runs(self, sha256: str, function: str | None) -> None:
        """Raise `InvalidModule` where a module whose `size` was just asked for is no program and nothing is called."""
        if function is None and sha256 in self._libraries:
            raise InvalidModule(
                "the module has no _start function, so it is no program",
                hint="name the function to be called: function, --function NAME",
                field="function",
            )

    def known_size(self, sha256: str | None) -> int | None:
        """The same, as far as it is known without asking the store."""
        return self._sizes.get(sha256, (None, 0.0))[0] if sha256 is not None else None

    def forget(self) -> None:
        """The store may have dropped modules."""
        self._sizes.clear()
        self._libraries.clear()

    async def add(self, data: bytes) -> str:
        """Keep a module out of memory; its digest. Raises `InvalidModule` for bytes that this grid cannot run."""
        sha256 = await asyncio.to_thread(sha256_hex, data)
        if await self.size(sha256) is not None:
            return sha256
        if len(data) > self._ceiling.module_bytes:
            raise TooLarge(f"a module may have at most {format_bytes(self._ceiling.module_bytes)}")
        async with self._judging:
            kind = await asyncio.to_thread(judge, data)
        await self._store.blobs.put(data, expected=sha256, max_bytes=len(data))
        await self._keep(sha256, len(data), kind)
        return sha256

    async def receive(self, sha256: str, chunks: AsyncIterator[bytes]) -> bool:
        """Keep a module as it streams in, its digest checked; whether it is new."""
        if await self.size(sha256) is not None:
            return False
        _, size = await self._store.blobs.put(chunks, expected=sha256, max_bytes=self._ceiling.module_bytes)
        async with self._judging:
            data = await self._store.blobs.read(sha256, 0, size)
            kind = await asyncio.to_thread(judge, data)
        await self._keep(sha256, size, kind)
        return True

    async def _keep(self, sha256: str, size: int, kind: str) -> None:
        await self._store.add_module(sha256, size, kind)
        self._remember(sha256, size, kind)

    def _remember(self, sha256: str, size: int, kind: str) -> None:
        self._sizes[sha256] = size, time.monotonic()
        if kind == LIBRARY:
            self._libraries.add(sha256)
        if len(self._sizes) > REMEMBERED:
            oldest = next(iter(self._sizes))
            del self._sizes[oldest]
            self._libraries.discard(oldest)


def judge(data: bytes) -> str:
    """The kind of a module that this grid can run, or call; raises `InvalidModule` that says what is wrong with it."""
    info = inspect(data, library=True)
    from wasmtime import Module, WasmtimeError  # noqa: PLC0415 - 15 MB and 0.1 s, which many servers never need

    from wasmgrid.runner.engine import make_engine  # noqa: PLC0415

    try:
        Module.validate(make_engine(metered=False, pooled=False), data)  # what no runner could load is told now
    except WasmtimeError as error:
        raise InvalidModule(f"the module is not valid: {str(error).splitlines()[-1].strip()[:300]}") from error
    return info.kind if ("_start", "function") in info.exports else LIBRARY
