"""Errors as RFC 9457 problems. The only place that knows which HTTP status a code has."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar.connection import Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Response
from litestar.response.base import ASGIResponse
from litestar.types import HTTPScope, Scope

from wasmgrid.core.errors import InvalidField, Unauthorized, WasmgridError
from wasmgrid.server.dashboard import pages
from wasmgrid.server.headers import SAFE
from wasmgrid.server.strict_json import in_our_words

STATUS: dict[str, int] = {
    "invalid_request": 400,
    "invalid_path": 400,
    "invalid_module": 400,
    "digest_mismatch": 400,
    "flag_refused": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "job_not_found": 404,
    "method_not_allowed": 405,
    "slow_request": 408,
    "idempotency_conflict": 409,
    "unsatisfiable": 409,
    "too_large": 413,
    "invalid_field": 422,
    "language_unknown": 422,
    "module_not_found": 422,  # a job names it: the request is at fault, not its address
    "input_not_found": 422,
    "internal": 500,
    "home_in_use": 500,
    "invalid_transition": 500,
    "protocol_mismatch": 502,
    "sandbox_unavailable": 503,
    "superseded": 503,
    "timed_out_waiting": 503,
    "toolchain_unavailable": 503,
    "unavailable": 503,
    "unreachable": 503,
}
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "1"

_log = structlog.get_logger(__name__)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457). `code` is stable, `hint` says what to do next, `field` names the key at fault."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    field: str | None = None


def problem_of(error: WasmgridError) -> Problem:
    """An error of ours as it is told to a client."""
    return _problem(error.code, STATUS.get(error.code, 500), error.message, hint=error.hint, field=error.field)


def response_of(error: WasmgridError) -> ASGIResponse:
    """An error of ours as a response that needs no application around it."""
    problem = problem_of(error)
    return ASGIResponse(
        body=msgspec.json.encode(problem),
        media_type=MEDIA_TYPE,
        status_code=problem.status,
        headers=_headers(problem),
    )


def refusal_of(error: WasmgridError, scope: HTTPScope) -> ASGIResponse:
    """The same before any routing: who only has to sign in, and looks for a page, is given the one that does it."""
    problem = problem_of(error)
    if isinstance(error, Unauthorized) and pages.is_visit(scope):
        return pages.shell(problem.status, _headers(problem)).to_asgi_response(None, Request(scope))
    return response_of(error)


def on_wasmgrid_error(_: Request[Any, Any, Any], error: WasmgridError) -> Response[Problem]:
    """Litestar's handler for errors of ours."""
    return _response(problem_of(error))


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem] | Response[bytes]:
    """Litestar's handler for its own refusals: no such page, wrong method, a query parameter that does not parse."""
    if isinstance(error, ValidationException):
        return _response(problem_of(_invalid_parameter(error)))
    status = error.status_code
    if status >= 500:
        return on_unexpected(request, error)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(status, "invalid_request")
    detail, hint = error.detail, None
    if code == "not_found":
        detail, hint = f"there is no {request.scope['path'][:200]!r} here", "every route: GET /schema/openapi.json"
    elif code == "method_not_allowed":
        detail = f"{request.scope['method']} is not for {request.scope['path'][:200]!r}"
    problem = _problem(code, status, detail, hint=hint)
    if code == "not_found" and pages.is_visit(request.scope):
        return pages.shell(status, _headers(problem))
    return _response(problem, dict(error.headers or {}))


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar's handler for bugs."""
    return _response(problem_of(unexpected(request.scope, error)))


def unexpected(scope: Scope, error: Exception) -> WasmgridError:
    """A bug: told in the log, under an id that is all the client learns."""
    incident = secrets.token_hex(4)
    _log.error("request failed", incident=incident, path=scope["path"], exc_info=error)
    return WasmgridError(
        f"the server met an error that it did not expect (incident {incident})",
        hint="the server's log has more under that number",
    )


def _invalid_parameter(error: ValidationException) -> InvalidField:
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    key = first.get("key")
    said = in_our_words(str(first.get("message", error.detail)))
    return InvalidField(f"{key or 'a parameter'} in the address {said}", field=key)


def _problem(code: str, status: int, detail: str, *, hint: str | None = None, field: str | None = None) -> Problem:
    return Problem(
        type=f"urn:wasmgrid:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        hint=hint,
        field=field,
    )


def _headers(problem: Problem) -> dict[str, str]:
    headers = dict(SAFE)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == 503:
        headers["Retry-After"] = RETRY_AFTER_S
    if problem.status == 408:
        headers["Connection"] = "close"  # the rest of the body may yet come; nobody waits for it
    return headers


def _response(problem: Problem, headers: dict[str, str] | None = None) -> Response[Problem]:
    return Response(
        problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=_headers(problem) | (headers or {})
    )
