"""Routes of the grid itself: who is there, what it can build, whether it is well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.connection import Request
from litestar.response import Response
from msgspec import Meta

from wasmgrid import __version__
from wasmgrid.core.errors import Unavailable, WasmgridError
from wasmgrid.core.overview import Overview
from wasmgrid.core.wire import PROTOCOL_VERSION
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.server import strict_json
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.sending import EventStream
from wasmgrid.server.service import Svc
from wasmgrid.server.sse import MEDIA_TYPE
from wasmgrid.store.rows import PrunePolicy, PruneReport

PROBE_S = 2.0

Age = Annotated[float, Meta(ge=0)]
Size = Annotated[int, Meta(ge=0)]


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """All workers that were heard of."""

    workers: list[WorkerView]


class Toolchains(msgspec.Struct, frozen=True, kw_only=True):
    """What the workers that are there can build, or could after an installation."""

    toolchains: list[Toolchain]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What runs here; `protocol` is that of the fabric."""

    version: str
    protocol: int


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """The server that schedules; every other one answers as well. `term` rises whenever another takes over."""

    server_id: str
    term: int


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The server that answers, whether it leads, and who does (null: nobody at this moment)."""

    server_id: str
    leads: bool
    leader: Leader | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, or what is wrong per part."""

    ok: bool
    problems: dict[str, str] = {}


class PruneRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may go; ages in seconds, null: no bound of that sort. Nothing goes within `grace_s`."""

    results_age_s: Age | None = PrunePolicy().results_age_s
    results_bytes: Size | None = PrunePolicy().results_bytes
    builds_age_s: Age | None = PrunePolicy().builds_age_s
    builds_bytes: Size | None = PrunePolicy().builds_bytes
    grace_s: Age = PrunePolicy().grace_s
    dry_run: bool = False


@get("/workers", summary="All workers", responses=problems())
async def workers(service: Svc) -> Workers:
    """With what each has, what of it is taken, and what runs there."""
    return Workers(workers=await service.control.workers())


@get("/toolchains", summary="What can be built here", responses=problems())
async def toolchains(service: Svc) -> Toolchains:
    """Languages with their versions; not `ready` are those that a first use installs."""
    return Toolchains(toolchains=await service.control.toolchains())


@get("/overview", summary="The whole grid at one glance", responses=problems())
async def overview(service: Svc) -> Overview:
    """Jobs, queue, workers and builds in numbers, and a quarter of an hour of them as a series."""
    return await service.overviews.get()


@get("/overview/events", media_type=MEDIA_TYPE, summary="The same as server-sent events", responses=problems())
async def overview_events(service: Svc) -> EventStream:
    """Event `overview` every 2 s: the same, its series the newest point alone."""
    return EventStream(service.overviews.events(), service.streams)


@get("/version", summary="What runs here", responses=problems())
async def version() -> Version:
    """The version of the server and of the fabric's protocol."""
    return Version(version=__version__, protocol=PROTOCOL_VERSION)


@get("/grid", summary="Who answers and who leads", responses=problems())
async def grid(service: Svc) -> Grid:
    """Where nobody leads, another server takes over within seconds."""
    leader = None
    with contextlib.suppress(Unavailable):
        leads = await service.control.leader()
        leader = Leader(server_id=leads.server_id, term=leads.term)
    own = service.control.server_id
    return Grid(server_id=own, leads=leader is not None and leader.server_id == own, leader=leader)


@post("/prune", status_code=200, summary="Remove what is old", responses=problems(400, 422))
async def prune(request: Request[Any, Any, Any], service: Svc) -> PruneReport:
    """By age and size, never what an unfinished job needs; what is left out of the body has its default."""
    body = await service.bodies.json(request)
    asked = strict_json.decode(body or b"{}", PruneRequest)
    report = await service.store.prune(PrunePolicy(**msgspec.structs.asdict(asked)))
    if not asked.dry_run:
        service.modules.forget()
        with contextlib.suppress(Unavailable):  # nobody leads: whoever does next knows nothing yet that is gone
            await service.control.modules_pruned()
    return report


@get("/healthz", summary="Whether the server lives", tags=["health"], security=[])
async def healthz() -> Health:
    """It answers."""
    return Health(ok=True)


@get("/readyz", summary="Whether jobs are taken", tags=["health"], security=[], responses=also(503, Health))
async def readyz(service: Svc) -> Response[Health]:
    """200 where the store can be written, the fabric is reached and a server leads; else 503 with what is wrong."""
    probes = {"store": service.probe_store(), "fabric": service.probe_fabric(), "leader": service.probe_leader()}
    answers = await asyncio.gather(*map(_probe, probes.values()))
    wrong = {name: answer for name, answer in zip(probes, answers, strict=True) if answer}
    return Response(Health(ok=not wrong, problems=wrong), status_code=503 if wrong else 200)


async def _probe(probe: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(PROBE_S):
            await probe
    except TimeoutError:
        return f"no answer within {PROBE_S:g} s"
    except WasmgridError as error:
        return error.message
    return ""


router = Router(
    path="/v1", route_handlers=[workers, toolchains, overview, overview_events, version, grid, prune], tags=["grid"]
)
health = [healthz, readyz]
