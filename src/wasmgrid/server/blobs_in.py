"""Routes of what is sent ahead of a job, by digest: modules and inputs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Router, head, put
from litestar.connection import Request
from litestar.params import FromQuery, PathParameter
from litestar.response import Response

from wasmgrid.core.errors import NotFound
from wasmgrid.server.bodies import chunks
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.service import Svc
from wasmgrid.server.trees import check_tree

AnyRequest = Request[Any, Any, Any]
Digest = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{64}\Z", description="sha256 of the bytes")]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the store now."""

    sha256: str
    bytes: int


@head(
    "/modules/{sha256:str}", media_type=MediaType.TEXT, summary="Whether a module is here", responses=problems(404, 422)
)
async def has_module(sha256: Digest, service: Svc) -> None:
    """200 where a job may name it, 404 where it must be sent first."""
    if await service.modules.size(sha256) is None:
        raise NotFound(f"no module {sha256} is here")


@put("/modules/{sha256:str}", summary="Send a module", responses=problems(400, 408, 413, 422, 503) | also(201, Kept))
async def put_module(sha256: Digest, request: AnyRequest, service: Svc) -> Response[Kept]:
    """The body is the module; 201 once it is kept, 200 where it was here. 400 for bytes that this grid cannot run."""
    body = chunks(request, max_bytes=service.ceiling.module_bytes, what="a module")
    new = await service.modules.receive(sha256, body)
    return Response(Kept(sha256=sha256, bytes=service.modules.known_size(sha256) or 0), status_code=201 if new else 200)


@head(
    "/inputs/{sha256:str}", media_type=MediaType.TEXT, summary="Whether an input is here", responses=problems(404, 422)
)
async def has_input(sha256: Digest, service: Svc) -> None:
    """200 where a job may name it, 404 where it must be sent first."""
    if await service.store.blobs.size(sha256) is None:
        raise NotFound(f"no input {sha256} is here")


@put("/inputs/{sha256:str}", summary="Send an input", responses=problems(400, 408, 413, 422, 503) | also(201, Kept))
async def put_input(sha256: Digest, request: AnyRequest, service: Svc, tree: FromQuery[bool] = False) -> Response[Kept]:
    """The body is the input: a file, or with `tree` an uncompressed tar archive of plain files and directories."""
    size = await service.store.blobs.size(sha256)
    new = size is None
    if size is None:
        body = chunks(request, max_bytes=service.ceiling.input_bytes, what="an input")
        _, size = await service.store.blobs.put(body, expected=sha256, max_bytes=service.ceiling.input_bytes)
    if tree:
        async with service.store.blobs.as_file(sha256) as path:
            await asyncio.to_thread(check_tree, path, service.ceiling)
    return Response(Kept(sha256=sha256, bytes=size), status_code=201 if new else 200)


router = Router(path="/v1", route_handlers=[has_module, put_module, has_input, put_input], tags=["modules and inputs"])
