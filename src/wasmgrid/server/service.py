"""What the routes do: submissions become rows and rows become answers. Everything a route needs hangs here."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from wasmgrid.control import Control
from wasmgrid.control.watchers import End
from wasmgrid.core.digits import whole_number
from wasmgrid.core.errors import JobNotFound, NotFound, Unavailable, Unreachable, WasmgridError
from wasmgrid.core.job import JobSpec, JobView, Stats, TaskResult
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.ranges import Ranges
from wasmgrid.protocol.events import LiveJob
from wasmgrid.server import submission
from wasmgrid.server.admission import Admission
from wasmgrid.server.bodies import Bodies
from wasmgrid.server.dashboard.sessions import Sessions
from wasmgrid.server.intake import NOTHING_KEPT, Intake, Kept, Prepared
from wasmgrid.server.modules_in import Modules
from wasmgrid.server.overviews import Overviews
from wasmgrid.server.sending import Streams
from wasmgrid.server.tail import Tails
from wasmgrid.server.views import is_array, job_view, module_of
from wasmgrid.store import Store
from wasmgrid.store.queries import LARGEST_ID
from wasmgrid.store.rows import DEFAULT_TENANT, JobRow, NewJob, Submitted

MAX_WAIT_S = 60.0  # one long poll; whoever wants to wait longer asks again
SHOWN_ARRAY = 60
SAMPLE = 256  # tasks of an array whose statistics stand for all
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
    sessions: Sessions
    ceiling: Ceiling
    modules: Modules
    tails: Tails
    fabric_reachable: Callable[[], Awaitable[bool]]
    bodies: Bodies = field(default_factory=Bodies)
    streams: Streams = field(default_factory=Streams)
    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)  # (method, route, status)
    tenant: str = DEFAULT_TENANT

    @cached_property
    def intake(self) -> Intake:
        """What makes requests jobs."""
        return Intake(self.store, self.control, self.modules, self.ceiling, self.tenant)

    @cached_property
    def overviews(self) -> Overviews:
        """The whole grid at one glance."""
        return Overviews(self.store, self.control, self.tenant)

    async def submit(self, spec: JobSpec, parts: Mapping[str, bytes], kept: Kept = NOTHING_KEPT) -> Accepted:
        """Make a request a job; it is durable when this returns. `parts` are source files that came beside the spec."""
        new, warnings = await self.intake.prepare(spec, parts, kept)
        submitted = await self.store.submit(new)
        if not submitted.existing:
            await self.control.submitted(submission.open_job(new, submitted))
        return Accepted(new, submitted, warnings)

    async def submit_many(self, specs: Sequence[JobSpec | WasmgridError]) -> list[Accepted | WasmgridError]:
        """Make jobs of those requests that can be, in one commit; the others are, in their place, why not."""
        prepared = [one if isinstance(one, WasmgridError) else await self._prepared(one) for one in specs]
        good = [one for one in prepared if isinstance(one, Prepared)]
        answers = iter(await self.store.submit_many([one.new for one in good]) if good else [])
        accepted: list[Accepted | WasmgridError] = []
        for one in prepared:
            submitted = one if isinstance(one, WasmgridError) else next(answers)
            if isinstance(one, WasmgridError) or isinstance(submitted, WasmgridError):
                accepted.append(submitted)  # type: ignore[arg-type] # one of the two, and that is the error
                continue
            accepted.append(Accepted(one.new, submitted, one.warnings))
            if not submitted.existing:
                await self.control.submitted(submission.open_job(one.new, submitted))
        return accepted

    async def _prepared(self, spec: JobSpec) -> Prepared | WasmgridError:
        await asyncio.sleep(0)  # others have their turn
        try:
            return await self.intake.prepare(spec, {})
        except WasmgridError as error:
            return error

    async def answer(self, accepted: Accepted, wait_s: float, *, look: bool = False) -> JobView:
        """The job that was submitted: as it is now, or once it is finished, or after `wait_s`.

        `look`: it may have ended since it was submitted.
        """
        submitted = accepted.submitted
        if wait_s > 0:
            end = await self.control.wait_finished(submitted.id, wait_s)
            if end is not None and _is_plain(accepted.new):
                return self._ended_view(accepted, end)
        elif not submitted.existing and not (look and self.control.at_hand(submitted.id) is None):
            new_state = accepted.new.state
            return job_view(  # what was just committed need not be asked for
                submission.fresh_row(accepted.new, submitted),
                live=self.control.at_hand(submitted.id) or LiveJob(state=new_state, reason=UNHEARD, started_at=None),
                module_bytes=self.modules.known_size(accepted.new.module_sha256),
                warnings=accepted.warnings,
            )
        row = await self.store.job(self.tenant, submitted.id)
        return await self.view(row, accepted.warnings)

    def _ended_view(self, accepted: Accepted, end: End) -> JobView:
        """A job that was not built, as it was committed at its beginning and at its end."""
        new = accepted.new
        return job_view(
            submission.ended_row(new, accepted.submitted, end.finished),
            result=end.result,
            module_bytes=self.modules.known_size(new.module_sha256),
            warnings=accepted.warnings,
        )

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
        if number := whole_number(ref, LARGEST_ID):
            return number
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

    async def view_with(
        self, row: JobRow, live: LiveJob | None, warnings: list[str] | None = None, *, sampled: bool = True
    ) -> JobView:
        """The same where it is known already what the leader knows. `sampled`: with what some of its tasks cost."""
        result, counts, sample = None, None, list[Stats]()
        if not is_array(row):
            result = await self.store.result(self.tenant, row.id) if row.state in FINISHED else None
        else:
            counts = await self.store.task_counts(row.id) if live is None or not live.counts else None
            sample = await self.store.sample(self.tenant, row.id, SAMPLE) if sampled else []
        build = await self.store.build(row.build_id) if row.build_id is not None else None
        return job_view(
            row,
            live=live,
            result=result,
            build=build,
            module_bytes=await self.modules.size(module_of(row, live)),
            task_counts=counts,
            sample=sample,
            warnings=warnings or (),
        )

    async def result(self, row: JobRow, index: int = 0) -> TaskResult | None:
        """A task's result, where it has one. Raises `NotFound` where the job has no such task."""
        result = await self.store.result(self.tenant, row.id, index)
        if result is None and index not in Ranges(row.spec.indexes):
            array = row.spec.array or "0"
            shown = array if len(array) <= SHOWN_ARRAY else f"{array[:SHOWN_ARRAY]}..."
            raise NotFound(
                f"job {row.id} has no task {index}",
                hint=f"its tasks: {shown} · see them: wasmgrid tasks {row.id}",
                field="index",
            )
        return result

    async def result_of(self, ref: str, index: int) -> tuple[JobRow, TaskResult]:
        """A job and the result of one of its tasks; raises `NotFound` where that has none."""
        row = await self.find(ref)
        result = await self.result(row, index)
        if result is None:
            hint = f"wait for it: GET /v1/jobs/{row.id}?wait=60 · follow it: GET /v1/jobs/{row.id}/logs"
            raise NotFound(
                f"task {index} of job {row.id} has no result",
                hint=None if row.state in FINISHED else hint,
                field="index",
            )
        return row, result

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


def _is_plain(new: NewJob) -> bool:
    """Whether nothing but its one result is added to a job on its way: it is no array, and nothing is built."""
    return new.module_sha256 is not None and new.spec.array is None


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
