"""Routes of what makes up the grid: what a person wants of a worker, and who is let in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Router, delete, get, post
from litestar.connection import Request
from litestar.params import PathParameter
from litestar.response import Response
from msgspec import Meta

from wasmgrid.core.worker import WorkerView, check_worker_id
from wasmgrid.server import strict_json
from wasmgrid.server.admission import Join
from wasmgrid.server.openapi import problems
from wasmgrid.server.service import Svc

WorkerId = Annotated[str, PathParameter(description="a worker's id: NAME or NAME:K")]
CredentialName = Annotated[str, PathParameter(description="a credential's name")]
Name = Annotated[str, Meta(min_length=1, max_length=63)]


class CredentialRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public half of a new credential; the secret stays with whoever asks."""

    kind: Annotated[str, Meta(pattern=r"^(worker|server)\Z")]
    name: Name
    public_key: Annotated[str, Meta(min_length=1, max_length=100)]


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A new credential, and how its holder reaches the fabric."""

    name: str
    kind: str
    nats_url: str
    ca: str | None


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """A credential without its secret, which no server ever had."""

    name: str
    kind: str
    public_key: str
    created_at: datetime
    revoked_at: datetime | None


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Every credential that was made, the revoked ones too."""

    credentials: list[CredentialView]


@post("/workers/{worker_id:str}/drain", status_code=200, summary="Drain a worker", responses=problems(404, 422))
async def drain(worker_id: WorkerId, service: Svc) -> WorkerView:
    """It finishes what it holds, takes nothing more, leaves, and ends."""
    return await _act(service, worker_id, "drain")


@post("/workers/{worker_id:str}/cordon", status_code=200, summary="Cordon a worker", responses=problems(404, 422))
async def cordon(worker_id: WorkerId, service: Svc) -> WorkerView:
    """It gets nothing new, also after it comes again; what it holds goes on."""
    return await _act(service, worker_id, "cordon")


@post("/workers/{worker_id:str}/uncordon", status_code=200, summary="Uncordon a worker", responses=problems(404, 422))
async def uncordon(worker_id: WorkerId, service: Svc) -> WorkerView:
    """A worker that was cordoned or quarantined gets tasks again."""
    return await _act(service, worker_id, "uncordon")


@get("/credentials", summary="All credentials", responses=problems())
async def list_credentials(service: Svc) -> Credentials:
    """By name and age; never a secret."""
    rows = await service.admission.credentials()
    return Credentials(
        credentials=[
            CredentialView(
                name=row.name,
                kind=row.kind,
                public_key=row.public_key,
                created_at=row.created_at,
                revoked_at=row.revoked_at,
            )
            for row in rows
        ]
    )


@post("/credentials", summary="Admit a worker or a server", responses=problems(400, 422))
async def add_credential(request: Request[Any, Any, Any], service: Svc) -> Admitted:
    """201 once its holder is let in. The grid's own NATS knows it then; another is told by whoever runs it."""
    asked = strict_json.decode(await service.bodies.json(request), CredentialRequest)
    await service.admission.add(asked.name, asked.kind, asked.public_key)
    join = service.admission.join
    return Admitted(name=asked.name, kind=asked.kind, nats_url=join.nats_url, ca=join.ca)


@delete("/credentials/{name:str}", summary="Revoke a credential", responses=problems(404, 422))
async def revoke_credential(name: CredentialName, service: Svc) -> None:
    """Whoever holds it is cut off, and what ran there goes elsewhere."""
    await service.admission.revoke(name)


@get(
    "/credentials/authorization",
    media_type=MediaType.TEXT,
    summary="Who is let in, for a NATS of one's own",
    responses=problems(),
)
async def authorization(service: Svc) -> Response[str]:
    """The text that nats-server includes as its `authorization`."""
    return Response(await service.admission.authorization(), media_type=MediaType.TEXT)


@get("/join", summary="How workers reach the fabric", responses=problems())
async def join(service: Svc) -> Join:
    """The addresses of NATS, and the authority of its certificates."""
    return service.admission.join


async def _act(service: Svc, worker_id: str, action: str) -> WorkerView:
    return await service.control.worker_action(check_worker_id(worker_id, field="worker_id"), action)


router = Router(
    path="/v1",
    route_handlers=[
        drain,
        cordon,
        uncordon,
        list_credentials,
        add_credential,
        revoke_credential,
        authorization,
        join,
    ],
    tags=["pool"],
)
