"""Routes that sign a browser in and out. The link's code comes in a body: it is in no log and in no Referer."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Router, delete, post
from litestar.connection import Request
from litestar.response import Response
from msgspec import Meta

from wasmgrid.core.errors import Unauthorized
from wasmgrid.server import bodies, strict_json
from wasmgrid.server.dashboard.sessions import LINK_S
from wasmgrid.server.openapi import problems
from wasmgrid.server.service import Svc

_BODY_BYTES = 4096  # nobody has shown anything yet

Secret = Annotated[str, Meta(min_length=1, max_length=1000)]


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a browser shows: the code of a link, or the grid's token."""

    code: Secret | None = None
    token: Secret | None = None


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that signs one browser in, once: `path` below the server's URL, good for `lasts_s` seconds."""

    path: str
    lasts_s: float


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions and unused links were ended."""

    ended: int


@post("/v1/sign-ins", summary="Make a link that signs a browser in", responses=problems(), tags=["dashboard"])
async def make_link(service: Svc) -> SignInLink:
    """It works once, at any server of the grid."""
    return SignInLink(path=f"/sign-in#{await service.sessions.link()}", lasts_s=LINK_S)


@delete("/v1/sign-ins", status_code=200, summary="Sign every browser out", responses=problems(), tags=["dashboard"])
async def end_all(service: Svc) -> SignedOut:
    """And void every link that was not used yet."""
    return SignedOut(ended=await service.sessions.close_all())


@post("/session", status_code=204)
async def sign_in(request: Request[Any, Any, Any], service: Svc) -> Response[None]:
    """Exchange a link's code, or the token, for a session's cookie."""
    pieces = bodies.chunks(request, max_bytes=_BODY_BYTES, what="a sign-in")
    asked = strict_json.decode(b"".join([piece async for piece in pieces]), SignIn)
    if (asked.code is None) == (asked.token is None):
        raise Unauthorized("a sign-in shows a code or a token", hint="a new link: wasmgrid dashboard")
    secret = await service.sessions.open(code=asked.code, token=asked.token)
    return _with_cookie(request, service.sessions.cookie(secret, secure=_is_secure(request)))


@delete("/session", status_code=204)
async def sign_out(request: Request[Any, Any, Any], service: Svc) -> Response[None]:
    """End this browser's session."""
    await service.sessions.close(request.headers.get("cookie", ""))
    return _with_cookie(request, service.sessions.cookie("", secure=_is_secure(request)))


def _is_secure(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser speaks TLS; behind a proxy only its Origin says so."""
    return request.scope["scheme"] == "https" or request.headers.get("origin", "").startswith("https://")


def _with_cookie(_: Request[Any, Any, Any], cookie: str) -> Response[None]:
    return Response(None, status_code=204, headers={"Set-Cookie": cookie})


router = Router(path="/", route_handlers=[sign_in, sign_out], include_in_schema=False)
links = [make_link, end_all]
