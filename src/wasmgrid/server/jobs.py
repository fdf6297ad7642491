"""Routes of jobs: submit, list, look, cancel."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, post
from litestar.connection import Request
from litestar.params import QueryParameter
from litestar.response import Response

from wasmgrid.core.job import JobSpec, JobView
from wasmgrid.server import joblist, strict_json
from wasmgrid.server.bodies import media_type
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.service import JobRef, Service, Svc, clamp_wait
from wasmgrid.server.submission import THREAD_BYTES
from wasmgrid.server.views import without_output
from wasmgrid.store.rows import JobQuery

MAX_PAGE = 200

Wait = Annotated[float | None, QueryParameter(description="seconds to wait for the job's end, at most 60")]


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some jobs, in the order asked for, without their output. `next_cursor` asks for those after them; None: no more.

    `cut`: a search took too long for one answer and goes on at `next_cursor`, whether or not something was found.
    """

    jobs: list[JobView]
    next_cursor: str | None
    cut: bool = False


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
    search: Annotated[
        str | None, QueryParameter(max_length=200, description="a number, a part of the name, or a language")
    ] = None,
    language: Annotated[str | None, QueryParameter(max_length=40, description="of the source: rust, c, ...")] = None,
    worker: Annotated[
        str | None, QueryParameter(max_length=80, description="it has the job now, or gave its first result")
    ] = None,
    since: Annotated[str | None, QueryParameter(description="submitted then or later: RFC 3339")] = None,
    until: Annotated[str | None, QueryParameter(description="submitted before then: RFC 3339")] = None,
    sort: Annotated[str, QueryParameter(description="newest, oldest, or finished: what ended last first")] = "newest",
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 20,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")] = None,
) -> JobPage:
    """Newest first. A page may be short although there are more: what counts is `next_cursor`.

    A search that takes longer than about a second is `cut`: it goes on with `next_cursor`.
    """
    asked = JobQuery(
        name=name or None,
        search=search or None,
        language=language or None,
        worker=worker or None,
        since=joblist.parse_time(since, "since"),
        until=joblist.parse_time(until, "until"),
        sort=joblist.parse_sort(sort),
        after=joblist.parse_cursor(cursor),
        limit=limit,
    )
    found = await joblist.page(service, frozenset(map(joblist.parse_state, states or ())), asked)
    views = await asyncio.gather(*(service.view_with(row, live, sampled=False) for row, live in found.jobs))
    return JobPage(
        jobs=[without_output(view) for view in views], next_cursor=joblist.format_cursor(found.after), cut=found.cut
    )


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


router = Router(path="/v1/jobs", route_handlers=[submit, list_jobs, show, cancel, forget], tags=["jobs"])
