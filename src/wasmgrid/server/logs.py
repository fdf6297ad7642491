"""Routes that stream: a task's output as it comes, and a job's changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from litestar import Router, get
from litestar.params import FromQuery, HeaderParameter, QueryParameter

from wasmgrid.core.errors import NotFound, TimedOutWaiting, Unavailable
from wasmgrid.core.job import Output, TaskResult
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.server.changes import changes_of
from wasmgrid.server.log_frames import FRAME_BYTES, Offsets, event_id, frame, parse_event_id
from wasmgrid.server.openapi import problems
from wasmgrid.server.sending import EventStream
from wasmgrid.server.service import JobRef, Service, Svc
from wasmgrid.server.sse import KEEP_ALIVE, KEEP_ALIVE_S, MEDIA_TYPE, event
from wasmgrid.server.views import is_array, task_state
from wasmgrid.store.rows import JobRow

RETRY_S = 1.0
PAUSE_S = 0.2  # between two looks at an array
COMMIT_S = 30.0  # from the last output to the committed result

Offset = Annotated[int, QueryParameter(ge=0, le=1 << 62)]
Index = Annotated[int, QueryParameter(ge=0, le=1 << 31, description="the task's index within the job")]


@get("/logs", media_type=MEDIA_TYPE, summary="A task's output as server-sent events", responses=problems(404, 422))
async def logs(
    job: JobRef,
    service: Svc,
    index: Index = 0,
    stdout_offset: Offset = 0,
    stderr_offset: Offset = 0,
    follow: FromQuery[bool] = True,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> EventStream:
    """Events `stdout` and `stderr` ({offset, data | base64}) from these offsets on, then `end`.

    With `follow` as it comes, else what is there. `restart` says that another attempt began: its output is at 0 again.
    A reader that was cut off comes back with its offsets, or with `Last-Event-ID`.
    """
    row = await service.find(job)
    await service.result(row, index)  # no such task: no stream
    seen = parse_event_id(last_event_id) if last_event_id is not None else None
    attempt, offsets = seen or (0, (stdout_offset, stderr_offset))
    frames = _follow if follow else _so_far
    return EventStream(frames(service, row, index, attempt, offsets), service.streams)


@get("/events", media_type=MEDIA_TYPE, summary="A job's changes as server-sent events", responses=problems(404, 422))
async def events(job: JobRef, service: Svc) -> EventStream:
    """Event `job` with the job now and after every change, then `end` once it is finished."""
    return EventStream(_job_events(service, await service.find(job)), service.streams)


async def _job_events(service: Service, row: JobRow) -> AsyncIterator[bytes]:
    async with changes_of(service.control, row.id) as changes:
        shown = b""
        while True:
            over = changes.over
            try:
                row = await service.store.job(service.tenant, row.id)
                now = event("job", await service.view(row))
            except (Unavailable, TimedOutWaiting):  # nobody leads, or the store is away: it goes on after that
                yield KEEP_ALIVE
                await changes.wait(RETRY_S)
                continue
            if now != shown:
                yield now
                shown = now
            if over or row.state in FINISHED:
                yield event("end", {"state": row.state})
                return
            while not await changes.wait(KEEP_ALIVE_S):
                yield KEEP_ALIVE
            if is_array(row):  # it changes with every task
                await asyncio.sleep(PAUSE_S)


async def _follow(service: Service, row: JobRow, index: int, attempt: int, offsets: Offsets) -> AsyncIterator[bytes]:
    async def has_ended() -> bool:
        return await service.store.result(service.tenant, row.id, index) is not None

    if row.state not in FINISHED:
        yield KEEP_ALIVE  # the headers go out now, and the reader knows that it follows
        one_of_many = has_ended if is_array(row) else None
        async with service.tails.follow(row.id, index, one_of_many) as tail:
            while True:
                if tail.attempt not in {0, attempt}:
                    if attempt:
                        offsets = 0, 0
                        yield event("restart", {"attempt": tail.attempt}, id=event_id(tail.attempt, offsets))
                    attempt = tail.attempt
                events, offsets = await tail.next(offsets)
                if events:
                    yield events
                elif tail.over:
                    break
                elif not await tail.change(KEEP_ALIVE_S):
                    yield KEEP_ALIVE
        if not is_array(row):
            await service.control.wait_finished(row.id, COMMIT_S)
    async for events in _stored(service, row.id, index, attempt, offsets):
        yield events


async def _so_far(service: Service, row: JobRow, index: int, attempt: int, offsets: Offsets) -> AsyncIterator[bytes]:
    live = await service.control.live(row.id) if row.state not in FINISHED else None
    task = next((task for task in live.tasks if task.index == index), None) if live is not None else None
    while task is not None:
        chunk = await service.control.tail(task, stdout_offset=offsets[0], stderr_offset=offsets[1], wait_s=0.0)
        if chunk is None:
            break
        events, offsets = frame(attempt, offsets, chunk.stdout, chunk.stderr)
        if not events:
            break
        yield events
    async for events in _stored(service, row.id, index, attempt, offsets):
        yield events


async def _stored(service: Service, job_id: int, index: int, attempt: int, offsets: Offsets) -> AsyncIterator[bytes]:
    """What the store has from these offsets on (nothing, where the task has no result yet), and the end."""
    result = await service.store.result(service.tenant, job_id, index)
    if result is not None:
        if attempt not in {0, result.attempt}:
            offsets = 0, 0
            yield event("restart", {"attempt": result.attempt}, id=event_id(result.attempt, offsets))
        while True:
            stdout = await _kept(service, result.stdout, offsets[0])
            stderr = await _kept(service, result.stderr, offsets[1])
            events, offsets = frame(result.attempt, offsets, stdout, stderr, final=True)
            if not events:
                break
            yield events
    row = await service.store.job(service.tenant, job_id)
    yield event("end", _ending(row, result))


async def _kept(service: Service, output: Output, offset: int) -> bytes:
    """At most a frame of what was kept of one stream."""
    if output.sha256 is None:
        return output.data[offset : offset + FRAME_BYTES]
    with suppress(NotFound):  # pruned meanwhile
        return await service.store.blobs.read(output.sha256, offset, FRAME_BYTES)
    return b""


def _ending(row: JobRow, result: TaskResult | None) -> dict[str, object]:
    ending: dict[str, object] = {"state": row.state, "outcome": None, "exit_code": None, "message": row.message or None}
    if result is not None:
        ending |= {
            "state": task_state(result) if is_array(row) else row.state,
            "outcome": result.outcome.kind,
            "exit_code": result.outcome.exit_code,
            "message": result.outcome.message,
            "stdout_truncated": result.stdout.truncated,
            "stderr_truncated": result.stderr.truncated,
        }
    return ending


router = Router(path="/v1/jobs/{job:str}", route_handlers=[logs, events], tags=["streams"])
