"""The application: its routes, its errors, and the gate before all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import ResponseHeader, State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from wasmgrid.control import Control
from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.limits import Ceiling
from wasmgrid.server import (
    batch,
    blobs_in,
    grid,
    job_files,
    jobs,
    logs,
    metrics,
    openapi,
    pool,
    problems,
    tasks,
    waiting,
)
from wasmgrid.server.admission import Admission
from wasmgrid.server.counting import Counting
from wasmgrid.server.dashboard import data, pages, sign_in
from wasmgrid.server.dashboard.sessions import Sessions
from wasmgrid.server.direct import Direct
from wasmgrid.server.guards import Gate
from wasmgrid.server.headers import SAFE
from wasmgrid.server.modules_in import Modules
from wasmgrid.server.service import Service
from wasmgrid.server.tail import Tails
from wasmgrid.store import Store

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


async def _assume_reachable() -> bool:
    return True


def create_app(
    *,
    store: Store,
    control: Control,
    token: str,
    home: Path,
    admission: Admission,
    allowed_hosts: Collection[str] = LOOPBACK,
    ceiling: Ceiling | None = None,
    on_activity: Callable[[], None] = lambda: None,
    fabric_reachable: Callable[[], Awaitable[bool]] = _assume_reachable,
) -> Litestar:
    """The HTTP API of one server as an ASGI application.

    `allowed_hosts` are the names (without port) that requests may use for it; `on_activity` is called for every request
    that has the token; `fabric_reachable` is asked by `/readyz`. A server that stops calls `end_streams` first.
    """
    ceiling = ceiling or Ceiling()
    service = Service(
        store=store,
        control=control,
        home=home,
        admission=admission,
        sessions=Sessions(store, token),
        ceiling=ceiling,
        modules=Modules(store, ceiling),
        tails=Tails(control),
        fabric_reachable=fabric_reachable,
    )
    app = Litestar(
        route_handlers=[
            jobs.router,
            batch.submit_batch,
            waiting.wait_any,
            tasks.router,
            job_files.router,
            logs.router,
            blobs_in.router,
            grid.router,
            pool.router,
            *grid.health,
            metrics.metrics,
            *sign_in.links,
            sign_in.router,
            pages.router,
            data.router,
            data.jobs_router,
        ],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False, use_cache=True)},
        exception_handlers={
            WasmgridError: problems.on_wasmgrid_error,
            HTTPException: problems.on_http_exception,
            Exception: problems.on_unexpected,
        },
        response_headers=[ResponseHeader(name=name, value=value) for name, value in SAFE.items()],
        openapi_config=openapi.config(grid.PruneRequest, pool.CredentialRequest),
        state=State({"service": service}),
        logging_config=None,
        request_max_body_size=None,  # every route that reads a body counts it while it streams
    )
    gate = Gate(
        Direct(app.asgi_handler, service),
        token=token,
        sessions=service.sessions,
        allowed_hosts=allowed_hosts,
        on_activity=on_activity,
    )
    app.asgi_handler = Counting(gate, service.answered)
    return app


def end_streams(app: Litestar) -> None:
    """End all open event streams, so that a shutdown need not wait for their readers; they come back with offsets."""
    service: Service = app.state.service
    service.streams.close()


def sessions_of(app: Litestar) -> Sessions:
    """What lets browsers in."""
    service: Service = app.state.service
    return service.sessions
