"""One attempt of a build task on this worker: fetch the source, compile it, give the module to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wasmgrid.build.builder import Builder
from wasmgrid.core.bundle import is_bundle, unpack
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import NotFound, WasmgridError
from wasmgrid.core.job import BuildResult
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import BuildWork
from wasmgrid.worker.blobs import BlobCache
from wasmgrid.worker.courier import Courier
from wasmgrid.worker.interpreters import Interpreters
from wasmgrid.worker.modules import ModuleCache

Advance = Callable[[str, str, float | None], None]
"""(phase, detail for people, when it began to run in seconds since 1970)"""


class TaskBuilding:
    """Builds what a worker was given to build."""

    def __init__(
        self,
        *,
        worker_id: str,
        builder: Builder,
        blobs: BlobCache,
        modules: ModuleCache,
        courier: Courier,
        interpreters: Interpreters | None = None,
        prepares: bool = True,
    ) -> None:
        """`prepares`: what is built here is made ready to run here as well."""
        self._worker_id = worker_id
        self._builder = builder
        self._blobs = blobs
        self._modules = modules
        self._courier = courier
        self._interpreters = interpreters
        self._prepares = prepares
        self._ceiling = Ceiling()

    async def run(self, attempt: int, work: BuildWork, advance: Advance) -> BuildResult:
        """The result of this attempt. Cancelling this kills the compiler; a source's failure is part of the result."""
        try:
            return await self._run(attempt, work, advance)
        except WasmgridError as error:
            return self.refusal(attempt, work, Outcome(kind=OutcomeKind.REJECTED, message=_sentence(error)))

    async def _keep(self, module: bytes) -> str:
        """In the store and here. It is compiled while it is uploaded and while its job finds its way back."""
        sha256 = sha256_hex(module)
        await self._modules.add(sha256, module)
        if self._prepares:
            self._modules.prepare(sha256)
        if self._interpreters is not None and is_bundle(module):
            await self._interpreters.upload(unpack(module).interpreter)
        await self._courier.upload(module)
        return sha256

    def refusal(self, attempt: int, work: BuildWork, outcome: Outcome) -> BuildResult:
        """The result of an attempt that made no module."""
        return BuildResult(
            build_id=work.build_id,
            attempt=attempt,
            worker_id=self._worker_id,
            outcome=outcome,
            toolchain=work.toolchain,
        )

    async def _run(self, attempt: int, work: BuildWork, advance: Advance) -> BuildResult:
        advance("fetching", "", None)
        async with self._blobs.hold(work.source.sha256, max_bytes=2 * self._ceiling.source_bytes) as path:
            source = await asyncio.to_thread(path.read_bytes)
        built = await self._builder.build(work, source, on_phase=lambda doing: advance("building", doing, None))
        module_sha256 = None
        if built.module is not None:
            module_sha256 = await self._keep(built.module)
        return BuildResult(
            build_id=work.build_id,
            attempt=attempt,
            worker_id=self._worker_id,
            outcome=built.outcome,
            toolchain=built.toolchain,
            module_sha256=module_sha256,
            module_bytes=len(built.module or b""),
            module_kind=built.kind,
            diagnostics=built.diagnostics,
            diagnostics_truncated=built.diagnostics_truncated,
            build_ms=built.build_ms,
        )


def _sentence(error: WasmgridError) -> str:
    if isinstance(error, NotFound):
        return "the source is gone from the store; submit it again"
    return f"{error.message}; {error.hint}" if error.hint else error.message
