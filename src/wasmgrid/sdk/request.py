"""What a call is to the clients that send it: method, path, query, body, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from wasmgrid.core.errors import InvalidPath, ProtocolMismatch
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.sse import EventParser

T = TypeVar("T")
JobId = int | str  # a number, or "last"


class Parser(Protocol):
    """Takes bytes as they come, in any pieces; gives what is complete."""

    def feed(self, chunk: bytes, /) -> list[Any]:
        """What `chunk` completes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as every call has it. `wait_s` is how long the server may hold it before it answers."""

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=dict)
    body: bytes | Blob = b""
    content_type: str = "application/json"
    wait_s: float = 0.0
    last_event_id: str | None = None  # of a stream that was cut off
    repeatable: bool = True  # sending it twice does what sending it once does

    @property
    def target(self) -> str:
        """Path and query, escaped."""
        given = {key: value for key, value in self.query.items() if value is not None}
        return self.path + ("?" + urlencode(given, doseq=True) if given else "")


@dataclass(frozen=True, kw_only=True)
class Call(Request, Generic[T]):
    """A request with one answer; `decode` reads its body, `absent` is the answer where the server says 404."""

    decode: Callable[[bytes], T]
    absent: T | None = None


@dataclass(frozen=True, kw_only=True)
class Stream(Request, Generic[T]):
    """A request whose answer comes bit by bit: server-sent events, or lines of JSON (`parser` says which).

    `decode` gives None for what means nothing here.
    """

    decode: Callable[[Any], T | None]
    parser: Callable[[], Parser] = EventParser


@dataclass(frozen=True, kw_only=True)
class Download(Request):
    """A request whose answer is bytes, however many."""


def of_job(job_id: JobId, *parts: str) -> str:
    """The path of what belongs to a job; raises `InvalidPath` for a part that would lead out of it."""
    named = [str(part) for part in (job_id, *parts)]
    for part in named:
        if part in {"", ".", ".."}:
            raise InvalidPath(f"{'/'.join(named[1:]) or part!r} names nothing of a job", field="path")
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in named)])


def waiting(wait_s: float) -> dict[str, object]:
    """The query of a request that may be held for so long."""
    return {"wait": f"{wait_s:g}"} if wait_s else {}


def json_of(kind: type[T]) -> Callable[[bytes], T]:
    """A decoder of a body that is a `kind` as JSON."""
    return lambda body: understood(body, kind)


def understood(body: bytes | str, kind: type[T]) -> T:
    """A `kind` out of JSON; raises `ProtocolMismatch` where it is none."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        hint = "is that address a wasmgrid server, of this version? wasmgrid version"
        raise ProtocolMismatch(f"the server's answer is not understood: {error}", hint=hint) from error
