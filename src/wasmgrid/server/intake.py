"""From a request to a job that can be kept: checked, its bytes made blobs, and what its sender should hear at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from wasmgrid.build.functions.names import check_function
from wasmgrid.control import Control
from wasmgrid.control.control import LITTLE_PATIENCE_S, PATIENCE_S
from wasmgrid.core.errors import NotFound, Unavailable, Unsatisfiable
from wasmgrid.core.job import JobSpec, SourceRef, Stdin, StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.limits import Ceiling
from wasmgrid.protocol.views import WAITS
from wasmgrid.server import arrays, submission
from wasmgrid.server.modules_in import Modules
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob


class Kept(NamedTuple):
    """What an earlier job was given and the store still has: a job that is run again need not send it."""

    source: SourceRef | None = None
    stdin: Stdin | None = None


class Prepared(NamedTuple):
    """A job that can be kept, and what its sender should hear."""

    new: NewJob
    warnings: list[str]


NOTHING_KEPT = Kept()


@dataclass(frozen=True)
class Intake:
    """Prepares jobs. One per application."""

    store: Store
    control: Control
    modules: Modules
    ceiling: Ceiling
    tenant: str

    async def prepare(self, spec: JobSpec, parts: Mapping[str, bytes], kept: Kept = NOTHING_KEPT) -> Prepared:
        """Make a request a job to be kept. `parts` are source files that came beside the spec.

        Raises whatever the request may be refused with; the store has nothing but blobs of it then.
        """
        spec = submission.with_source(spec, parts)
        submission.check(spec, self.ceiling, kept_source=kept.source is not None)
        spec, tasks = await arrays.sized(spec, self.store.blobs, self.ceiling)
        source, module_sha256 = await self._code(spec, parts, kept.source)
        stdin = kept.stdin if spec.stdin is None else await self._stdin(spec)
        await self._see_blobs(spec, stdin)
        stored = submission.stored(spec, source=source, module_sha256=module_sha256, stdin=stdin)
        new = NewJob(
            tenant=self.tenant,
            spec=stored,
            state=JobState.QUEUED if source is None else JobState.BUILDING,
            task_count=tasks,
            module_sha256=module_sha256,
            idempotency_key=spec.idempotency_key,
            request_sha256=submission.request_digest(stored) if spec.idempotency_key is not None else None,
        )
        return Prepared(new, await self._warnings(stored))

    async def _warnings(self, spec: StoredSpec) -> list[str]:
        """What its sender should hear at once; raises `Unsatisfiable` where it must not wait for a worker that fits."""
        try:
            patience_s = PATIENCE_S if spec.fail_fast else LITTLE_PATIENCE_S
            warnings = await self.control.submission_warnings(spec, patience_s=patience_s)
        except Unavailable:
            if spec.fail_fast:
                raise
            warnings = ["no server leads at the moment, so nobody could say whether a worker can run this"]
        else:
            if spec.fail_fast and warnings:
                raise Unsatisfiable(
                    warnings[0].replace(WAITS, ""), hint="ask for less, or leave fail_fast out and the job waits"
                )
        return warnings + submission.notes(spec)

    async def _code(
        self, spec: JobSpec, parts: Mapping[str, bytes], kept: SourceRef | None
    ) -> tuple[SourceRef | None, str | None]:
        """(source to be built, None) or (None, module to be run), its bytes kept."""
        if spec.source is None and kept is not None:
            if await self.store.blobs.size(kept.sha256) is None:
                raise NotFound("the source of that job is no longer kept", hint="submit it again")
            if spec.function is not None:
                check_function(kept.language, spec.function)
            return replace(kept, function=spec.function), None
        if spec.source is None:
            if spec.module_sha256 is None or await self.modules.size(spec.module_sha256) is None:
                raise submission.module_missing(spec.module_sha256 or "")
            self.modules.check_runs(spec.module_sha256, spec.function)
            return None, spec.module_sha256
        if submission.is_large(spec.source, parts):
            packed = await asyncio.to_thread(submission.pack, spec.source, parts, self.ceiling, spec.function)
        else:
            packed = submission.pack(spec.source, parts, self.ceiling, spec.function)
        if isinstance(packed, submission.ReadyModule):
            module_sha256 = await self.modules.add(packed.data)
            self.modules.check_runs(module_sha256, spec.function)
            return None, module_sha256
        await self.store.blobs.put(packed.blob, expected=packed.ref.sha256, max_bytes=len(packed.blob))
        return packed.ref, None

    async def _stdin(self, spec: JobSpec) -> Stdin | None:
        data = submission.stdin_bytes(spec, self.ceiling)
        if data is None or submission.is_inline(data):
            return None if data is None else Stdin(data=data)
        sha256, _ = await self.store.blobs.put(data, expected=None, max_bytes=len(data))
        return Stdin(sha256=sha256)

    async def _see_blobs(self, spec: JobSpec, stdin: Stdin | None) -> None:
        """Raise unless what the job names is here."""
        for at, each in enumerate(spec.inputs):
            if await self.store.blobs.size(each.sha256) is None:
                raise submission.input_missing(each.sha256, at)
        if stdin is not None and stdin.sha256 is not None and await self.store.blobs.size(stdin.sha256) is None:
            raise NotFound("the stdin of that job is no longer kept", hint="submit it again", field="stdin")
