"""Routes of what a browser loads: one page for every address of the dashboard, and the files that it names.

Nothing in them is anybody's: what they show they ask for, as whoever is signed in.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from litestar import Router, get
from litestar.connection import Request
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import HTTPScope

from wasmgrid.core.errors import NotFound
from wasmgrid.server.dashboard.assets import Assets

_PAGES = ["/", "/jobs", "/workers", "/toolchains", "/new", "/sign-in"]
_PAGE = re.compile(r"/(?:jobs|workers|toolchains|new|sign-in|jobs/[A-Za-z0-9]{1,20})?/?")
_NO_PAGE = re.compile(r"/(?:v1|schema|assets|metrics|healthz|readyz)(?:/.*)?|.*\.json", re.DOTALL)
_FOR_EVER = "public, max-age=31536000, immutable"
_assets = Assets()


def is_open(path: str) -> bool:
    """Whether the address gives a page or one of its files, which hold nothing of the grid's."""
    return path.startswith("/assets/") or _PAGE.fullmatch(path) is not None


def is_visit(scope: HTTPScope) -> bool:
    """Whether somebody looks for a page there: a browser that shows the answer, at an address that no program uses."""
    if scope["method"] != "GET" or _NO_PAGE.fullmatch(scope["path"]):
        return False
    return any(name == b"accept" and b"text/html" in value.lower() for name, value in scope["headers"])


def headers_with(nonce: str) -> dict[str, str]:
    """What a browser may do with the page: run our files, ask this server, and nothing else."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "font-src": "'self'",
        "img-src": "'self' data:",  # the editor's marks; artifacts that are pictures
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "X-Frame-Options": "DENY",
    }


def shell(status: int | None = None, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """The page; which part of it is shown, its address says. `status`: where it stands for a problem, that one's."""
    nonce = secrets.token_urlsafe(16)
    told = {**(headers or {}), **headers_with(nonce)}
    return Response(_assets.page(nonce), media_type="text/html", headers=told, status_code=status)


@get(_PAGES)
async def page() -> Response[bytes]:
    """Any page but a job's."""
    return shell()


@get("/assets/{digest:str}/{path:path}")
async def asset(digest: FromPath[str], path: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
    """One file. A browser that has the page of another version gets this one's, and does not keep it."""
    found = _assets.files.get(path.removeprefix("/"))
    if found is None:
        raise NotFound(f"there is no {request.scope['path'][:200]!r} here")
    headers = {"Cross-Origin-Resource-Policy": "same-origin"}
    if digest == _assets.digest:
        headers["Cache-Control"] = _FOR_EVER
    return Response(found.body, media_type=found.media_type, headers=headers)


router = Router(path="/", route_handlers=[page, asset], include_in_schema=False)
