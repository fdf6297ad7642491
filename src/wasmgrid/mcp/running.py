"""From an agent's request to a job and its end: submitted once, told about as it goes, cancelled with its request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import anyio
import msgspec

from wasmgrid.core.errors import InvalidField, Unreachable
from wasmgrid.core.job import Base64, Input, JobSpec, Lines, Source
from wasmgrid.mcp.questions import Program, RunCode, RunFunction
from wasmgrid.mcp.session import DISK_MB, OUTPUT_BYTES, QUEUE_TIMEOUT_S, Session
from wasmgrid.sdk import blobs, calls, lines, steps, views
from wasmgrid.sdk.async_client import AsyncClient
from wasmgrid.sdk.prepare import Prepared

CANCEL_S = 5.0

Report = Callable[[str], Awaitable[None]]


def prepared(asked: Program, session: Session) -> Prepared:
    """The request for a job; raises `InvalidField` for what is over the session's bounds or makes no program."""
    session.bounds.check(asked.time_limit_s, asked.memory_mb)
    spec = JobSpec(
        name="agent",
        source=Source(files=_files(asked), language=asked.language or None),
        time_limit_s=asked.time_limit_s,
        memory_mb=asked.memory_mb,
        disk_mb=DISK_MB,
        output_limit_bytes=OUTPUT_BYTES,
        queue_timeout_s=QUEUE_TIMEOUT_S,
    )
    if isinstance(asked, RunFunction):
        given = lines.of_values(asked.inputs)
        called = msgspec.structs.replace(
            spec,
            function=asked.function,
            array=f"0-{given.count - 1}",
            lines=Lines(sha256=given.blob.sha256, use=given.use),
        )
        return Prepared(called, {given.blob.sha256: given.blob})
    return _with_inputs(spec, asked) if isinstance(asked, RunCode) else Prepared(spec)


def _files(asked: Program) -> dict[str, str | Base64]:
    if bool(asked.source.strip()) == bool(asked.project):
        raise InvalidField("give the program as `source` or as `project`, one of them", field="source")
    return dict(asked.project) if asked.project else {"main": asked.source}


def _with_inputs(spec: JobSpec, asked: RunCode) -> Prepared:
    sent = {path: blobs.of_bytes(text.encode()) for path, text in asked.files.items()}
    inputs = [
        Input(path=path if path.startswith("/") else f"/in/{path}", sha256=blob.sha256) for path, blob in sent.items()
    ]
    filled = msgspec.structs.replace(spec, args=asked.args, env=asked.env, stdin=asked.stdin or None, inputs=inputs)
    return Prepared(filled, {blob.sha256: blob for blob in sent.values()})


async def submitted(client: AsyncClient, session: Session, asked: Program) -> views.Job:
    """The job, durable; not interrupted half-way, so that a job which is there is always known."""
    request = prepared(asked, session)
    await session.check_room(client)
    with anyio.CancelScope(shield=True):
        job = await client.perform(steps.submit(request.spec, request.blobs))
    session.submitted(job.id)
    return job


@asynccontextmanager
async def cancelled_with_its_request(client: AsyncClient, job_id: int) -> AsyncIterator[None]:
    """Where the block is cancelled (the agent gave up, or is gone), so is the job."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(CANCEL_S, shield=True):
            await client.send(calls.cancel(job_id))
        raise


async def followed(client: AsyncClient, job_id: int, report: Report, wait_s: float) -> views.Job:
    """The job when it is finished, or as it is after `wait_s`; what it waits for is reported as it changes."""
    ends_at = anyio.current_time() + wait_s
    with anyio.move_on_after(wait_s):
        try:
            await _tell(client, job_id, report)
        except Unreachable:
            await report("the server is away; asking again")
    return await client.perform(steps.wait(job_id, max(0.0, ends_at - anyio.current_time())))


async def _tell(client: AsyncClient, job_id: int, report: Report) -> None:
    async with aclosing(client.stream(calls.events(job_id))) as changes:
        async for job in changes:
            if job.done:
                return
            await report(f"{job.state}: {job.state_reason}" if job.state_reason else job.state)
