"""Routes of a job's tasks: one, a page of them, all as lines; and the job once more."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.connection import Request
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Response

from wasmgrid.core.digits import whole_number
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.job import JobView, ResultView
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import LAST_INDEX
from wasmgrid.server import taskmap, timeline
from wasmgrid.server.again import again
from wasmgrid.server.joblist import not_of_this_list
from wasmgrid.server.jobs import Wait
from wasmgrid.server.lines_out import MEDIA_TYPE, Lines
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.sending import LineStream
from wasmgrid.server.service import JobRef, Svc, clamp_wait
from wasmgrid.server.views import result_view

MAX_PAGE = 1000

Failed = Annotated[bool, QueryParameter(description="only tasks that did not succeed")]


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks that have ended, by index. `next_cursor` asks for the ones after them; None: no more now."""

    tasks: list[ResultView]
    next_cursor: str | None


@get("/tasks", summary="Tasks that have ended", responses=problems(404, 422))
async def list_tasks(
    job: JobRef,
    service: Svc,
    failed: Failed = False,
    outcome: Annotated[str | None, QueryParameter(description="only those that ended so")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 100,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")] = None,
) -> TaskPage:
    """By index, also while the job runs. A page may be short although there are more: what counts is `next_cursor`."""
    row = await service.find(job)
    after = -1 if not cursor else _parse_index(cursor)
    kind = _parse_outcome(outcome)
    found = await service.store.tasks(
        service.tenant, row.id, failed=failed, outcome=kind, after_index=after, limit=limit
    )
    last = found[-1].index if found else -1
    over = not found or last >= sum(row.spec.indexes[-1]) - 1
    return TaskPage(tasks=[result_view(each) for each in found], next_cursor=None if over else str(last))


@get("/tasks/map", summary="A map of an array's tasks", responses=problems(404, 422))
async def map_tasks(
    job: JobRef,
    service: Svc,
    cells: Annotated[int, QueryParameter(ge=1, le=taskmap.MOST_CELLS, description="at most so many")] = 2000,
) -> taskmap.TaskMap:
    """The tasks in cells of consecutive ones, each with its worst state; durations; and what went wrong, in groups.

    Of more than 20,000 tasks some of each cell are looked at.
    """
    return await taskmap.drawn(service, await service.find(job), cells)


@get("/tasks/{index:int}", summary="How one task ended", responses=problems(404, 422))
async def show_task(job: JobRef, index: FromPath[int], service: Svc) -> ResultView:
    """Its result, with what it printed; 404 where it has none yet."""
    _, result = await service.result_of(job, index)
    return result_view(result)


@get("/timeline", summary="A job's way through the stages", responses=problems(404, 422))
async def show_timeline(
    job: JobRef,
    service: Svc,
    index: Annotated[int | None, QueryParameter(ge=0, le=LAST_INDEX, description="of one task of an array")] = None,
) -> timeline.Timeline:
    """Submit, build, queue, match, run and result: when each began and ended, or for how long it goes on; attempts."""
    return await timeline.timeline(service, await service.find(job), index)


@get("/results", media_type=MEDIA_TYPE, summary="All results, a line of JSON each", responses=problems(404, 422))
async def results(
    job: JobRef,
    service: Svc,
    follow: FromQuery[bool] = False,
    failed: Failed = False,
    values: Annotated[bool, QueryParameter(description="of a success only what the function gave")] = False,
    fields: Annotated[str | None, QueryParameter(description="`stdout`: only the end and what was printed")] = None,
    after: Annotated[int, QueryParameter(ge=0, le=1 << 62, description="`seq` of the last line before a cut")] = 0,
) -> LineStream:
    """In the order of their ends; with `follow` as they come, until the job has ended. Empty lines mean nothing.

    With `values` a success is `{"index", "seq", "return_value"}`. A reader that was cut off comes back with `after`,
    and is sent again some of what it has.
    """
    if fields not in {None, "stdout"}:
        raise InvalidField(f"{fields!r:.40} is no choice of fields", hint="only stdout is", field="fields")
    row = await service.find(job)
    lines = Lines(service, after=after, failed=failed, values=values, lean=fields == "stdout")
    return LineStream(lines.of(row, follow=follow), service.streams, media_type=MEDIA_TYPE)


@post("/rerun", summary="Submit a job again", responses=problems(400, 404, 409, 413, 422, 503) | also(200, JobView))
async def rerun(
    job: JobRef, request: Request[Any, Any, Any], service: Svc, failed: Failed = False, wait: Wait = None
) -> Response[JobView]:
    """A new job with the same request, but for the keys in the body (a JSON object, or none).

    With `failed` only the tasks that did not succeed, under their indexes.
    """
    row = await service.find(job)
    runs = None
    if failed:
        if row.state not in FINISHED:
            raise InvalidField(f"job {row.id} has not ended yet", hint=f"wait: wasmgrid wait {row.id}", field="failed")
        runs = await service.store.failed_runs(service.tenant, row.id)
        if not runs:
            raise InvalidField(
                f"no task of job {row.id} failed", hint="leave failed out: all run again", field="failed"
            )
    asked = again(row.spec, await service.bodies.json(request), runs)
    accepted = await service.submit(asked.spec, {}, asked.kept(row.spec))
    view = await service.answer(accepted, clamp_wait(wait))
    return Response(view, status_code=200 if accepted.submitted.existing else 201)


def _parse_index(cursor: str) -> int:
    index = whole_number(cursor, LAST_INDEX)
    if index is None:
        raise not_of_this_list()
    return index


def _parse_outcome(text: str | None) -> OutcomeKind | None:
    try:
        return None if text is None else OutcomeKind(text)
    except ValueError:
        known = ", ".join(OutcomeKind)
        raise InvalidField(f"{text!r:.40} is no outcome", hint=f"one of {known}", field="outcome") from None


router = Router(
    path="/v1/jobs/{job:str}",
    route_handlers=[list_tasks, map_tasks, show_task, show_timeline, results, rerun],
    tags=["tasks of a job"],
)
