"""Routes of jobs: submit, list, look, cancel."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, post
from litestar.connection import Request
from litestar.params import QueryParameter
from litestar.response import Response

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.job import JobSpec, JobView
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.protocol.events import LiveJob
from wasmgrid.server import strict_json
from wasmgrid.server.bodies import media_type
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.service import JobRef, Service, Svc, clamp_wait
from wasmgrid.server.submission import THREAD_BYTES
from wasmgrid.server.views import without_output
from wasmgrid.store.rows import JobRow

MAX_PAGE = 200
_OPEN = frozenset({JobState.BUILDING, JobState.QUEUED})  # which of these run is not in the store
PAGES_AT_ONCE = 20  # of rows that are looked at for one page of an answer

Wait = Annotated[float | None, QueryParameter(description="seconds to wait for the job's end, at most 60")]


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some jobs, newest first, without their output. `next_cursor` asks for the ones before them; None: no more."""

    jobs: list[JobView]
    next_cursor: str | None


@post("/", summary="Submit a job", responses=problems(400, 408, 409, 413, 422, 503) | also(200, JobView))
async def submit(request: Request[Any, Any, Any], service: Svc, wait: Wait = None) -> Response[JobView]:
    """A JobSpec as JSON (at most 24 MiB), or multipart: a part `spec`, and one per source file, its filename the path.

    201 with the job, which is durable then; 200 where the idempotency key was used for the same request before. With
    `wait` the answer comes when the job is finished, or after that many seconds.
    """
    view, status = await accept(request, service, clamp_wait(wait))
    return Response(view, status_code=status)


async def accept(request: Request[Any, Any, Any], service: Service, wait_s: float) -> tuple[JobView, int]:
    """The job that a request submits, and the status that says whether it is new."""
    if media_type(request) == "multipart/form-data":
        async with service.bodies.turn(request):
            body, parts = await service.bodies.multipart(request, service.ceiling)
            accepted = await service.submit(await _decode(body), parts)
            del parts  # the answer may be long in coming
    else:
        accepted = await service.submit(await _decode(await service.bodies.json(request)), {})
    return await service.answer(accepted, wait_s), 200 if accepted.submitted.existing else 201


@get("/", summary="List jobs", responses=problems(422))
async def list_jobs(
    service: Svc,
    states: Annotated[list[str] | None, QueryParameter(name="state", description="only these; may be repeated")] = None,
    name: Annotated[str | None, QueryParameter(max_length=200, description="a part of the name")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 20,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")] = None,
) -> JobPage:
    """Newest first. A page may be short although there are more: what counts is `next_cursor`."""
    found, before = await _page(service, frozenset(map(_parse_state, states or ())), name, _parse_cursor(cursor), limit)
    views = await asyncio.gather(*(service.view_with(row, live, sampled=False) for row, live in found))
    return JobPage(jobs=[without_output(view) for view in views], next_cursor=None if before is None else str(before))


@get("/{job:str}", summary="One job", responses=problems(404, 422))
async def show(job: JobRef, service: Svc, wait: Wait = None) -> JobView:
    """`job` is a number, or `last`. With `wait` the answer comes when it is finished, or after that many seconds."""
    return await service.view(await service.finished(job, clamp_wait(wait)))


@post("/{job:str}/cancel", status_code=200, summary="Cancel a job", responses=problems(404, 422))
async def cancel(job: JobRef, service: Svc) -> JobView:
    """Ask for its end; it comes soon after. A job that is finished stays as it is."""
    return await service.cancel(job)


@delete("/{job:str}", status_code=204, summary="Forget a job", responses=problems(404, 422))
async def forget(job: JobRef, service: Svc) -> None:
    """Delete a finished job with its results, for good; its files go with the next prune."""
    row = await service.find(job)
    await service.store.forget(service.tenant, row.id)


async def _decode(body: bytes) -> JobSpec:
    if len(body) > THREAD_BYTES:
        return await asyncio.to_thread(strict_json.decode, body, JobSpec)
    return strict_json.decode(body, JobSpec)


async def _page(
    service: Service, states: frozenset[JobState], name: str | None, before: int | None, limit: int
) -> tuple[list[tuple[JobRow, LiveJob | None]], int | None]:
    """(rows, where to go on). Which jobs run is in the leader's memory: unfinished ones are searched for them."""
    kept = states - {JobState.RUNNING} | (_OPEN if JobState.RUNNING in states else frozenset())
    found: list[tuple[JobRow, LiveJob | None]] = []
    for _ in range(PAGES_AT_ONCE):
        page = await service.store.jobs(service.tenant, states=kept, name=name, before_id=before, limit=limit + 1)
        lives = await service.control.lives([row.id for row in page if row.state not in FINISHED])
        for row in page:
            if len(found) == limit:
                return found, before
            before, live = row.id, lives.get(row.id)
            if not states or (row.state if live is None else live.state) in states:
                found.append((row, live))
        if len(page) <= limit:
            return found, None
    return found, before


def _parse_state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        raise InvalidField(f"{text[:40]!r} is no state", hint=f"one of {', '.join(JobState)}", field="state") from None


def _parse_cursor(cursor: str | None) -> int | None:
    if cursor is None or cursor == "":
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
        raise InvalidField(
            "cursor is not one of this list's", hint="give next_cursor of the page before", field="cursor"
        )
    return int(cursor)


router = Router(path="/v1/jobs", route_handlers=[submit, list_jobs, show, cancel, forget], tags=["jobs"])
