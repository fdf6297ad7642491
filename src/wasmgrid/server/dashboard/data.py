"""What the pages show, each at its own address with `.json` behind it: what the API has in several answers, in one."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from litestar import Router, get
from litestar.params import FromPath
from litestar.response import Response

from wasmgrid.core.job import JobSpec, JobView
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.overview import BuildsView, Overview
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.scheduling.explain import Why
from wasmgrid.server import jobs
from wasmgrid.server.attempts import Attempt, attempts_of
from wasmgrid.server.dashboard.pages import shell
from wasmgrid.server.grid import Workers
from wasmgrid.server.job_files import why_of
from wasmgrid.server.service import Svc
from wasmgrid.server.timeline import Timeline, timeline

SUFFIX = ".json"
_SHOWN_DEFAULTS = ("cpus", "memory_mb", "gpus", "disk_mb", "time_limit_s", "output_limit_bytes")


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """A job with all that its page shows beside it. `why` is None once it runs or has ended."""

    job: JobView
    timeline: Timeline
    attempts: list[Attempt]
    why: Why | None


class ToolchainsPage(msgspec.Struct, frozen=True, kw_only=True):
    """What can be built, by whom (worker -> its languages that are ready), and how often it was built before."""

    toolchains: list[Toolchain]
    workers: dict[str, list[str]]
    builds: BuildsView


class NewPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a new job may ask for: languages, what is taken where nothing is said, the most, and what workers have."""

    toolchains: list[Toolchain]
    defaults: dict[str, float]
    ceiling: Ceiling
    workers: list[WorkerView]


@get("/jobs/{ref:str}")
async def job_page(ref: FromPath[str], service: Svc) -> Response[Any]:
    """The page of a job; with `.json`, what it shows."""
    if not ref.endswith(SUFFIX):
        return shell()
    row = await service.find(ref.removesuffix(SUFFIX))
    view, attempts, way = await asyncio.gather(
        service.view(row), attempts_of(service, row), timeline(service, row, None)
    )
    waits = view.state in {"queued", "building"} and row.state not in FINISHED
    why = await why_of(service, row) if waits else None
    return Response(JobPage(job=view, timeline=way, attempts=attempts.attempts, why=why))


@get("/overview.json")
async def overview_page(service: Svc) -> Overview:
    """The whole grid."""
    return await service.overviews.get()


@get("/workers.json")
async def workers_page(service: Svc) -> Workers:
    """Every worker."""
    return Workers(workers=await service.control.workers())


@get("/toolchains.json")
async def toolchains_page(service: Svc) -> ToolchainsPage:
    """What can be built, and where."""
    toolchains, workers, overview = await asyncio.gather(
        service.control.toolchains(), service.control.workers(), service.overviews.get()
    )
    ready = {each.id: [one.language for one in each.toolchains if one.ready] for each in workers}
    return ToolchainsPage(toolchains=toolchains, workers=ready, builds=overview.builds)


@get("/new.json")
async def new_page(service: Svc) -> NewPage:
    """What a job may ask for here."""
    toolchains, workers = await asyncio.gather(service.control.toolchains(), service.control.workers())
    spec = JobSpec()
    defaults = {name: getattr(spec, name) for name in _SHOWN_DEFAULTS}
    return NewPage(toolchains=toolchains, defaults=defaults, ceiling=service.ceiling, workers=workers)


router = Router(
    path="/", route_handlers=[job_page, overview_page, workers_page, toolchains_page, new_page], include_in_schema=False
)
jobs_router = Router(path="/jobs.json", route_handlers=[jobs.list_jobs], include_in_schema=False)
