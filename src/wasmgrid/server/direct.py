"""The one request that every job makes, past the framework: what it answers is what the route in `jobs` answers.

A submission in JSON is parsed, made a job and answered here, for a tenth of what routing, parameters, injection and
response classes cost. Anything else about it (another body, another parameter, a malformed one) goes the usual way.
"""

from __future__ import annotations

import re

import msgspec
from litestar.connection import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

from wasmgrid.core.errors import WasmgridError
from wasmgrid.server import jobs
from wasmgrid.server.headers import SAFE
from wasmgrid.server.problems import response_of, unexpected
from wasmgrid.server.service import Service

ROUTE = "/v1/jobs"
PATHS = frozenset({ROUTE, "/v1/jobs/"})
_WAIT = re.compile(rb"wait=(\d{1,6}(?:\.\d{1,6})?)")
_HEADERS = [(b"content-type", b"application/json"), *((k.lower().encode(), v.encode()) for k, v in SAFE.items())]

_encode = msgspec.json.Encoder().encode


class Direct:
    """The application, with its shortest way in front."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a submission; let everything else go on."""
        if scope["type"] == ScopeType.HTTP and scope["method"] == "POST" and scope["path"] in PATHS:
            wait_s = _wait_s(scope["query_string"])
            if wait_s is not None and _is_json(scope):
                await self._submit(scope, receive, send, wait_s)
                return
        await self._app(scope, receive, send)

    async def _submit(self, scope: HTTPScope, receive: Receive, send: Send, wait_s: float) -> None:
        scope["path_template"] = ROUTE
        try:
            view, status = await jobs.accept(Request(scope, receive), self._service, wait_s)
            body = _encode(view)
        except WasmgridError as error:
            await response_of(error)(scope, receive, send)
            return
        except Exception as error:  # noqa: BLE001 -- it is logged, and the client learns under which number
            await response_of(unexpected(scope, error))(scope, receive, send)
            return
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        await send(HTTPResponseStartEvent(type="http.response.start", status=status, headers=headers))
        await send(HTTPResponseBodyEvent(type="http.response.body", body=body, more_body=False))


def _wait_s(query: bytes) -> float | None:
    """The `wait` of a query that says nothing else; None: the route is to judge it."""
    if not query:
        return 0.0
    match = _WAIT.fullmatch(query)
    return None if match is None else float(match[1])


def _is_json(scope: HTTPScope) -> bool:
    """Whether the body is said to be JSON, or nothing is said of it."""
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not kinds or kinds == [b"application/json"]
