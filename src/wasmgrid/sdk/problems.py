"""RFC 9457 problems back into the errors they were: same class, code, hint and field."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from wasmgrid.core import errors
from wasmgrid.core.errors import WasmgridError


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `application/problem+json`."""

    title: str = ""
    status: int = 0
    detail: str | None = None
    code: str = ""
    hint: str | None = None
    field: str | None = None


# What a status means where something in between (a proxy) answered, and there is no code.
_BY_STATUS: dict[int, type[WasmgridError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    408: errors.TimedOutWaiting,
    413: errors.TooLarge,
    422: errors.InvalidField,
    502: errors.Unreachable,
    504: errors.Unreachable,
}


def error_of(status: int, body: bytes) -> WasmgridError:
    """The error that a response with `status` (>= 400) and `body` tells of. Unknown codes keep their name."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        problem = Problem()
    message = problem.detail or problem.title or f"the server answered {status} {_phrase(status)}"
    return _class_of(problem.code, status)(message, hint=problem.hint, field=problem.field)


def error_named(code: str, message: str, *, hint: str | None = None, field: str | None = None) -> WasmgridError:
    """The error with this code; one of a class of its own where this version knows no such code."""
    return _named(code)(message, hint=hint, field=field)


def _class_of(code: str, status: int) -> type[WasmgridError]:
    if not code:
        return _BY_STATUS.get(status, errors.Unavailable if status >= 500 else errors.InvalidRequest)
    return _named(code)


def _named(code: str) -> type[WasmgridError]:
    known = _KNOWN.get(code)
    if known is None:
        known = type("ServerError", (WasmgridError,), {"code": code, "__doc__": f"The server's {code}."})
    return known


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _tree(kind: type[WasmgridError]) -> dict[str, type[WasmgridError]]:
    found = {kind.code: kind}
    for below in kind.__subclasses__():
        found = _tree(below) | found  # of two with one code, the more general
    return found


_KNOWN = _tree(WasmgridError)
