"""Modules on a worker's disk, fetched once, and their machine code, compiled once.

<directory>/key             <directory>/modules/<sha256>.wasm
<directory>/bundles/<sha256>/   <directory>/precompiled/<sha256>[-metered]-<runtime>.cwasm, and .tag beside it
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import structlog
from msgspec.structs import replace

from wasmgrid.codegen import identity
from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import DigestMismatch, InvalidField, ModuleNotFound, NotFound
from wasmgrid.core.limits import MB
from wasmgrid.core.outcome import Outcome
from wasmgrid.worker.bundles import Bundles, PreparedBundle
from wasmgrid.worker.capacity import memory_bytes
from wasmgrid.worker.interpreters import Interpreters
from wasmgrid.worker.machine_code import MachineCode, digest, write
from wasmgrid.worker.precompile import precompile
from wasmgrid.worker.task import PreparedModule
from wasmgrid.worker.trees import remove_tree

KEEP_BYTES = 4096 * MB
PRECOMPILE_MEMORY_MB = 3072  # of a large machine; a quarter of a small one, but no less than 512
PRECOMPILE_CPU_S = 60
_REMEMBERED = 1000

Fetch = Callable[[Path], Awaitable[object]]
"""Brings the module to a path, whole or not at all."""

log = structlog.get_logger()


class ModuleCache:
    """Keeps at most `keep_bytes` (what is in use not counted out), dropping what was not used for longest.

    `memory_mb` is what one precompilation may take, and one runs at a time: the worker's capacity leaves room for it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep_bytes: int = KEEP_BYTES,
        memory_mb: int | None = None,
        cpu_s: int = PRECOMPILE_CPU_S,
    ) -> None:
        self.memory_mb = memory_mb or min(PRECOMPILE_MEMORY_MB, max(512, memory_bytes() // MB // 4))
        self._cpu_s = cpu_s
        self._keep_bytes = keep_bytes
        self._runtime = identity()
        self._modules = directory / "modules"
        self._work = directory / "work"
        remove_tree(self._work)  # a former life's
        for path in (directory, self._modules, self._work):
            path.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._code = MachineCode(directory / "precompiled", directory / "key")
        self._bundles = Bundles(directory / "bundles")
        self.interpreters: Interpreters | None = None  # without them no bundle can run
        self._refused: dict[str, Outcome] = {}
        self._ready: dict[str, PreparedModule] = {}
        self._users: dict[str, int] = {}
        self._preparing: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._one_at_a_time = asyncio.Lock()
        self._on_change: Callable[[], None] = lambda: None
        self.digests: tuple[str, ...] = ()
        self.bytes = 0
        self._take_stock()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call this, from the event loop, whenever `digests` or `bytes` changed.

        `digests` are the modules that are precompiled here for this runtime, last used first as of the last change;
        `bytes` is all that this cache has on disk.
        """
        self._on_change = on_change

    def pin(self, sha256: str, *, metered: bool = False) -> PreparedModule | None:
        """The module, where it is ready at once: then nothing of it is evicted until `release`."""
        bundle = self._bundles.get(sha256)
        if bundle is not None:
            code = self.pin(bundle.interpreter.sha256, metered=metered)
            if code is not None:
                self._users[sha256] = self._users.get(sha256, 0) + 1
            return None if code is None else replace(code, sha256=sha256, bundle=bundle)
        name = self._name(sha256, metered)
        if not self._code.known(name):
            return None
        self._users[sha256] = self._users.get(sha256, 0) + 1
        return self._at_hand(sha256, name, metered)

    def release(self, module: PreparedModule) -> None:
        """Whoever pinned it needs it no more."""
        self._unpin(module.sha256)
        if module.bundle is not None:
            self._unpin(module.bundle.interpreter.sha256)

    def _unpin(self, sha256: str) -> None:
        self._users[sha256] -= 1
        if not self._users[sha256]:
            del self._users[sha256]
            self._locks.pop(sha256, None)

    @contextlib.asynccontextmanager
    async def hold(
        self,
        sha256: str,
        fetch: Fetch,
        *,
        metered: bool = False,
        on_precompile: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[PreparedModule | Outcome]:
        """The module ready to run, fetched and compiled where needed; nothing of it is evicted until this ends.

        An `Outcome` (rejected) where it cannot be compiled within limits. Raises `DigestMismatch`, what `fetch` raises,
        and OSError (disk full).
        """
        if not is_sha256(sha256):
            raise InvalidField(f"{sha256[:80]!r} is not a sha256", field="module_sha256")
        self._users[sha256] = self._users.get(sha256, 0) + 1
        try:
            found = await self._ensure(sha256, fetch, metered, on_precompile)
            if not isinstance(found, PreparedBundle):
                yield found
                return
            interpreter = found.interpreter.sha256
            hold = self.hold(interpreter, self._interpreter(interpreter), metered=metered, on_precompile=on_precompile)
            async with hold as code:
                yield code if isinstance(code, Outcome) else replace(code, sha256=sha256, bundle=found)
        finally:
            self._unpin(sha256)

    def _interpreter(self, sha256: str) -> Fetch:
        async def fetch(dest: Path) -> None:
            if self.interpreters is None:
                raise ModuleNotFound("interpreters cannot be had here")
            await self.interpreters.fetch(sha256, dest)

        return fetch

    async def add(self, sha256: str, data: bytes) -> None:
        """Keep a module that was built here, so that it need not be fetched. Raises OSError."""
        path = self._modules / f"{sha256}.wasm"
        if not path.exists():
            await asyncio.to_thread(write, path, data)

    def prepare(self, sha256: str) -> None:
        """Compile a module that was added, in the background: whoever wants it meanwhile waits for that."""
        task = asyncio.get_running_loop().create_task(self._prepare(sha256))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def close(self) -> None:
        """End what is prepared in the background."""
        for task in self._preparing:
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)

    async def _prepare(self, sha256: str) -> None:
        async def fetch(_: Path) -> None:
            raise NotFound("a module that was built here is gone from the cache")

        try:
            async with self.hold(sha256, fetch):
                pass
        except (NotFound, OSError) as error:  # whoever runs it brings it here, or meets this error
            log.warning("module.not_prepared", sha256=sha256, error=str(error))

    @property
    def count(self) -> int:
        """How many modules are on disk."""
        return sum(1 for _ in self._modules.glob("*.wasm"))

    async def _ensure(
        self, sha256: str, fetch: Fetch, metered: bool, on_precompile: Callable[[], None]
    ) -> PreparedModule | PreparedBundle | Outcome:
        name = self._name(sha256, metered)
        if self._code.known(name):
            return self._at_hand(sha256, name, metered)
        if (bundle := self._bundles.get(sha256)) is not None:
            return bundle
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            if name in self._refused:
                return self._refused[name]
            if await asyncio.to_thread(self._code.verify, name) or await self._installed(sha256, name, metered):
                return self._at_hand(sha256, name, metered)
            begun = time.perf_counter()
            fetched = await self._have(sha256, fetch)
            fetch_ms = (time.perf_counter() - begun) * 1000
            bundle = await asyncio.to_thread(self._bundles.lay_out, sha256, self._modules / f"{sha256}.wasm")
            if bundle is not None:
                return bundle
            begun = time.perf_counter()
            on_precompile()
            refusal = await self._compile(sha256, name, metered)
            if refusal is not None:
                return self._refuse(name, refusal)
            return PreparedModule(
                sha256=sha256,
                path=self._code.path(name),
                metered=metered,
                fetch_ms=fetch_ms if fetched else 0.0,
                precompile_ms=(time.perf_counter() - begun) * 1000,
                module_cached=not fetched,
            )

    def _name(self, sha256: str, metered: bool) -> str:
        return f"{sha256}{'-metered' if metered else ''}-{self._runtime}"

    def _at_hand(self, sha256: str, name: str, metered: bool) -> PreparedModule:
        found = self._ready.get(name)
        if found is None:
            if len(self._ready) >= _REMEMBERED:
                self._ready.pop(next(iter(self._ready)))
            found = PreparedModule(
                sha256=sha256, path=self._code.path(name), metered=metered, module_cached=True, precompile_cached=True
            )
            self._ready[name] = found
        return found

    def _refuse(self, name: str, refusal: Outcome) -> Outcome:
        """Remembered: the same module would meet the same limit again, a minute later."""
        if len(self._refused) >= _REMEMBERED:
            self._refused.pop(next(iter(self._refused)))
        self._refused[name] = refusal
        return refusal

    async def _have(self, sha256: str, fetch: Fetch) -> bool:
        """Bring the module where it is missing or damaged; whether it had to be brought."""
        path = self._modules / f"{sha256}.wasm"
        if path.exists():
            if await asyncio.to_thread(digest, path) == sha256:
                os.utime(path)
                return False
            log.warning("module.damaged", sha256=sha256)
            path.unlink()
        await fetch(path)
        if await asyncio.to_thread(digest, path) != sha256:
            path.unlink(missing_ok=True)
            raise DigestMismatch(f"the module {sha256[:12]} came in with another content")
        return True

    async def _installed(self, sha256: str, name: str, metered: bool) -> bool:
        """Take in the machine code that came with an interpreter's toolchain, if this is one; whether it did."""
        code = None if self.interpreters is None or metered else self.interpreters.code(sha256)
        if code is None:
            return False
        fresh = self._work / f"{secrets.token_hex(4)}.cwasm"
        try:
            await asyncio.to_thread(shutil.copyfile, code, fresh)
            await asyncio.to_thread(self._code.put, fresh, name)
        finally:
            fresh.unlink(missing_ok=True)
        self._take_stock()
        self._on_change()
        return True

    async def _compile(self, sha256: str, name: str, metered: bool) -> Outcome | None:
        async with self._one_at_a_time:
            token = secrets.token_hex(4)
            fresh = self._work / f"{token}.cwasm"
            try:
                refusal = await precompile(
                    self._modules / f"{sha256}.wasm",
                    fresh,
                    self._work / f"{token}.box",
                    metered=metered,
                    memory_mb=self.memory_mb,
                    cpu_s=self._cpu_s,
                )
                if refusal is None:
                    await asyncio.to_thread(self._code.put, fresh, name)
                    await asyncio.to_thread(self._evict)
                    self._on_change()
                return refusal
            finally:
                fresh.unlink(missing_ok=True)

    def _evict(self) -> None:
        """Drop modules and machine code, last used longest ago first, until the rest fits. What is held stays."""
        entries: list[tuple[float, int, str, Callable[[str], None]]]
        entries = [(used, size, name, self._code.drop) for used, size, name in self._code.entries()]
        for path in self._modules.glob("*.wasm"):
            status = path.stat()
            entries.append((status.st_mtime, status.st_size, path.stem, self._drop_module))
        total = sum(size for _, size, _, _ in entries)
        for _, size, name, drop in sorted(entries, key=lambda entry: entry[0]):
            if total <= self._keep_bytes:
                break
            if name[:64] not in self._users:
                drop(name)
                total -= size
        self._take_stock()

    def _take_stock(self) -> None:
        code = sorted(self._code.entries(), reverse=True)
        self.digests = tuple(dict.fromkeys(name[:64] for _, _, name in code if name.endswith(self._runtime)))
        self.bytes = sum(size for _, size, _ in code) + sum(
            path.stat().st_size for path in self._modules.glob("*.wasm")
        )

    def _drop_module(self, sha256: str) -> None:
        self._bundles.drop(sha256)
        (self._modules / f"{sha256}.wasm").unlink(missing_ok=True)
