"""What the routes do: submissions become rows and rows become answers. Everything a route needs hangs here."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from wasmgrid.control import Control
from wasmgrid.control.control import LITTLE_PATIENCE_S, PATIENCE_S
from wasmgrid.core.errors import JobNotFound, Unavailable, Unreachable, Unsatisfiable
from wasmgrid.core.job import JobSpec, JobView, SourceRef, Stdin, StoredSpec, TaskResult
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.core.limits import Ceiling
from wasmgrid.protocol.events import LiveJob
from wasmgrid.protocol.views import WAITS
from wasmgrid.server import arrays, submission
from wasmgrid.server.admission import Admission
from wasmgrid.server.bodies import Bodies
from wasmgrid.server.modules_in import Modules
from wasmgrid.server.sending import Streams
from wasmgrid.server.tail import Tails
from wasmgrid.server.views import job_view, module_of
from wasmgrid.store import Store
from wasmgrid.store.rows import DEFAULT_TENANT, JobRow, NewJob, Submitted

MAX_WAIT_S = 60.0  # one long poll; whoever wants to wait longer asks again
MAX_ID = (1 << 63) - 1
UNHEARD = "it waits for the leading server to take it up"


class Accepted(NamedTuple):
    """A submission that is durable, and what its sender should hear at once."""

    new: NewJob
    submitted: Submitted
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class Service:
    """One per application."""

    store: Store
    control: Control
    home: Path
    admission: Admission
    ceiling: Ceiling
    modules: Modules
    tails: Tails
    fabric_reachable: Callable[[], Awaitable[bool]]
    bodies: Bodies = field(default_factory=Bodies)
    streams: Streams = field(default_factory=Streams)
    tenant: str = DEFAULT_TENANT

    async def submit(self, spec: JobSpec, parts: Mapping[str, bytes]) -> Accepted:
        """Make a request a job; it is durable when this returns. `parts` are source files that came beside the spec."""
        spec = submission.with_source(spec, parts)
        submission.check(spec, self.ceiling)
        spec, tasks = await arrays.sized(spec, self.store.blobs, self.ceiling)
        source, module_sha256 = await self._code(spec, parts)
        stdin = await self._stdin(spec)
        for at, each in enumerate(spec.inputs):
            if await self.store.blobs.size(each.sha256) is None:
                raise submission.input_missing(each.sha256, at)
        stored = submission.stored(spec, source=source, module_sha256=module_sha256, stdin=stdin)
        warnings = await self._warnings(stored)
        new = NewJob(
            tenant=self.tenant,
            spec=stored,
            state=JobState.QUEUED if source is None else JobState.BUILDING,
            task_count=tasks,
            module_sha256=module_sha256,
            idempotency_key=spec.idempotency_key,
            request_sha256=submission.request_digest(stored) if spec.idempotency_key is not None else None,
        )
        submitted = await self.store.submit(new)
        if not submitted.existing:
            await self.control.submitted(submission.open_job(new, submitted))
        return Accepted(new, submitted, warnings)

    async def answer(self, accepted: Accepted, wait_s: float) -> JobView:
        """The job that was submitted: as it is now, or once it is finished, or after `wait_s`."""
        submitted = accepted.submitted
        if wait_s > 0:
            await self.control.wait_finished(submitted.id, wait_s)
        elif not submitted.existing:
            new_state = accepted.new.state
            return job_view(  # what was just committed need not be asked for
                submission.fresh_row(accepted.new, submitted),
                live=self.control.at_hand(submitted.id) or LiveJob(state=new_state, reason=UNHEARD, started_at=None),
                module_bytes=self.modules.known_size(accepted.new.module_sha256),
                warnings=accepted.warnings,
            )
        row = await self.store.job(self.tenant, submitted.id)
        return await self.view(row, accepted.warnings)

    async def find(self, ref: str) -> JobRow:
        """The job that `ref` names: its number, or `last`."""
        return await self.store.job(self.tenant, await self.job_id(ref))

    async def job_id(self, ref: str) -> int:
        """The number that `ref` means; raises `JobNotFound` for what cannot be one."""
        if ref == "last":
            latest = await self.store.latest_id(self.tenant)
            if latest is None:
                raise JobNotFound("there is no job yet", hint="submit one: wasmgrid run hello.rs")
            return latest
        if ref.isascii() and ref.isdigit() and 0 < int(ref[:20]) <= MAX_ID:
            return int(ref)
        raise JobNotFound(f"no job {ref[:100]!r}", hint="a job's id is a number, or last · list: wasmgrid jobs")

    async def finished(self, ref: str, wait_s: float) -> JobRow:
        """The job, once it is finished or `wait_s` is over."""
        row = await self.find(ref)
        if wait_s > 0 and row.state not in FINISHED:
            await self.control.wait_finished(row.id, wait_s)
            row = await self.store.job(self.tenant, row.id)
        return row

    async def view(self, row: JobRow, warnings: list[str] | None = None) -> JobView:
        """A job with its result, its build and what the leader knows."""
        live = None
        if row.state not in FINISHED:
            live = await self.control.live(row.id)
            if live is None:  # it has just ended, or the leader has not heard of it yet
                row = await self.store.job(self.tenant, row.id)
                live = LiveJob(state=row.state, reason=UNHEARD, started_at=None)
        return await self.view_with(row, live, warnings)

    async def view_with(self, row: JobRow, live: LiveJob | None, warnings: list[str] | None = None) -> JobView:
        """The same where it is known already what the leader knows."""
        result = await self.store.result(self.tenant, row.id) if row.state in FINISHED else None
        build = await self.store.build(row.build_id) if row.build_id is not None else None
        counts = await self.store.task_counts(row.id) if row.task_count > 1 else None
        return job_view(
            row,
            live=live,
            result=result,
            build=build,
            module_bytes=await self.modules.size(module_of(row, live)),
            task_counts=counts,
            warnings=warnings or (),
        )

    async def result(self, row: JobRow, index: int = 0) -> TaskResult | None:
        """A task's result, where it has one."""
        return await self.store.result(self.tenant, row.id, index)

    async def cancel(self, ref: str) -> JobView:
        """Ask for a job's end; one that is finished stays as it is."""
        row = await self.find(ref)
        if row.state not in FINISHED:
            await self.store.request_cancel(self.tenant, row.id)
            await self.control.cancel_requested(row.id)
            row = await self.store.job(self.tenant, row.id)
        return await self.view(row)

    async def probe_store(self) -> None:
        """Raise `Unavailable` unless the store answers and this server's disk takes a write."""
        await asyncio.gather(self.store.leadership(), asyncio.to_thread(_write_probe, self.home))

    async def probe_fabric(self) -> None:
        """Raise `Unreachable` unless the fabric answers."""
        if not await self.fabric_reachable():
            raise Unreachable("the fabric does not answer")

    async def probe_leader(self) -> None:
        """Raise `Unavailable` unless a server leads and answers."""
        await self.control.leader()

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

    async def _code(self, spec: JobSpec, parts: Mapping[str, bytes]) -> tuple[SourceRef | None, str | None]:
        """(source to be built, None) or (None, module to be run), its bytes kept."""
        if spec.source is None:
            if spec.module_sha256 is None or await self.modules.size(spec.module_sha256) is None:
                raise submission.module_missing(spec.module_sha256 or "")
            return None, spec.module_sha256
        if submission.is_large(spec.source, parts):
            packed = await asyncio.to_thread(submission.pack, spec.source, parts, self.ceiling, spec.function)
        else:
            packed = submission.pack(spec.source, parts, self.ceiling, spec.function)
        if isinstance(packed, submission.ReadyModule):
            return None, await self.modules.add(packed.data)
        await self.store.blobs.put(packed.blob, expected=packed.ref.sha256, max_bytes=len(packed.blob))
        return packed.ref, None

    async def _stdin(self, spec: JobSpec) -> Stdin | None:
        data = submission.stdin_bytes(spec, self.ceiling)
        if data is None or submission.is_inline(data):
            return None if data is None else Stdin(data=data)
        sha256, _ = await self.store.blobs.put(data, expected=None, max_bytes=len(data))
        return Stdin(sha256=sha256)


JobRef = Annotated[str, PathParameter(description="a job's number, or `last`")]
Svc = NamedDependency[SkipValidation[Service]]


def clamp_wait(wait_s: float | None) -> float:
    """A `?wait=` as it is honoured: at most `MAX_WAIT_S`, and nothing for what is no duration."""
    return min(wait_s, MAX_WAIT_S) if wait_s is not None and wait_s > 0 else 0.0


def _write_probe(home: Path) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=home, prefix=".ready-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(f"the disk takes no write: {error.strerror}", hint="make room on it") from error
