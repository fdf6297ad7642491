"""Request bodies as they come in: counted while they stream, never longer than stated, never slower than a floor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar.connection import Request
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from wasmgrid.core.errors import InvalidPath, InvalidRequest, SlowRequest, TooLarge, Unavailable
from wasmgrid.core.limits import MB, Ceiling
from wasmgrid.core.units import format_bytes

JSON_BYTES = 24 * MB  # the largest stdin, in base64, with room for the rest
FRAMING_BYTES = 4096  # what a part of a multipart body may add to its file
STALL_S = 30.0  # a body must bring STALL_BYTES in every such span, or end
STALL_BYTES = 64 * 1024
SMALL_BYTES = 1 * MB  # bodies that may be longer take turns, so that many of them do not fill the memory
LARGE_AT_ONCE = 4

AnyRequest = Request[Any, Any, Any]


class Bodies:
    """Reads the bodies of all requests, large ones a few at a time. One per application."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def json(self, request: AnyRequest) -> bytes:
        """A JSON body, whole."""
        kind = media_type(request)
        if kind not in {"", "application/json"}:
            raise InvalidRequest(f"the body is {kind[:100]!r}, not JSON", hint="send Content-Type: application/json")
        async with self.turn(request):
            return b"".join([chunk async for chunk in chunks(request, max_bytes=JSON_BYTES, what="a JSON body")])

    async def multipart(self, request: AnyRequest, ceiling: Ceiling) -> tuple[bytes, dict[str, bytes]]:
        """(the part `spec`, path -> content of all other parts). To be called within a `turn`."""
        collected = _Parts(request, ceiling)
        most = JSON_BYTES + ceiling.source_bytes + FRAMING_BYTES * min(ceiling.source_files, 10_000)
        try:
            async for chunk in chunks(request, max_bytes=most, what="a multipart body"):
                collected.feed(chunk)
            return collected.finish()
        except ParserLimitReached as error:
            raise TooLarge(f"the multipart body is over a limit: {error}", field="source.files") from error
        except MultipartError as error:
            raise InvalidRequest(f"the multipart body is malformed: {error}") from error

    @asynccontextmanager
    async def turn(self, request: AnyRequest) -> AsyncIterator[None]:
        """Hold one of the few places for large bodies, where this one may be large; `Unavailable` if none gets free."""
        length = content_length(request)
        if length is not None and length <= SMALL_BYTES:
            yield
            return
        try:
            await asyncio.wait_for(self._large.acquire(), STALL_S)
        except TimeoutError as error:
            raise Unavailable("too many large requests are under way", hint="try again in a moment") from error
        try:
            yield
        finally:
            self._large.release()


class _Parts:
    """The parts of one submission as they arrive."""

    def __init__(self, request: AnyRequest, ceiling: Ceiling) -> None:
        _, options = parse_options_header(request.headers.get("content-type", ""))
        if "boundary" not in options:
            raise InvalidRequest("the multipart body has no boundary in its Content-Type")
        # one segment for the spec, and one that the parser opens after the last
        self._parser = PushMultipartParser(options["boundary"], max_segment_count=ceiling.source_files + 2, strict=True)
        self._ceiling = ceiling
        self._spec: bytes | None = None
        self._files: dict[str, bytes] = {}
        self._file_bytes = 0
        self._name: str | None = None  # None: the spec
        self._open: list[bytes] = []
        self._open_bytes = 0

    def feed(self, chunk: bytes) -> None:
        for event in self._parser.parse(chunk):
            if isinstance(event, (bytes, bytearray)):
                self._add(bytes(event))
            elif event is None:
                self._close()
            else:
                self._begin(event.name, event.filename)

    def finish(self) -> tuple[bytes, dict[str, bytes]]:
        self._parser.close()
        if self._spec is None:
            raise InvalidRequest("the multipart body has no part named spec", hint="send the job spec as that part")
        return self._spec, self._files

    def _begin(self, name: str, filename: str | None) -> None:
        self._open, self._open_bytes = [], 0
        if name == "spec" and filename is None:
            if self._spec is not None:
                raise InvalidRequest("the part spec came twice")
            self._name = None
            return
        if not filename:
            raise InvalidRequest(f"the part {name[:100]!r} has no filename", hint="a file's filename is its path")
        path = filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")  # as HTML escapes it
        if path in self._files:
            raise InvalidPath(f"the file {path[:200]!r} came twice", field="source.files")
        self._name = path

    def _add(self, data: bytes) -> None:
        self._open.append(data)
        self._open_bytes += len(data)
        if self._name is None:
            if self._open_bytes > JSON_BYTES:
                raise _too_large("the part spec", JSON_BYTES)
            return
        self._file_bytes += len(data)
        if self._file_bytes > self._ceiling.source_bytes:
            raise _too_large("the source", self._ceiling.source_bytes)

    def _close(self) -> None:
        data = b"".join(self._open)
        self._open = []
        if self._name is None:
            self._spec = data
        else:
            self._files[self._name] = data


async def chunks(request: AnyRequest, *, max_bytes: int, what: str) -> AsyncIterator[bytes]:
    """The body as it comes; `TooLarge` as soon as it is known to be, `SlowRequest` where the sender stalls."""
    length = content_length(request)
    if length is not None and length > max_bytes:
        raise _too_large(what, max_bytes)
    received = 0
    loop = asyncio.get_running_loop()
    due, due_bytes = loop.time() + STALL_S, STALL_BYTES
    while True:
        try:
            async with asyncio.timeout_at(due):
                message = await request.receive()
        except TimeoutError as error:
            raise SlowRequest(
                f"the body came too slowly: {format_bytes(received)} so far, then less than "
                f"{format_bytes(STALL_BYTES)} in {STALL_S:g} s",
                hint="send it again, faster",
            ) from error
        if message["type"] != "http.request":
            raise InvalidRequest("the connection ended in the middle of the body")
        chunk = message["body"]
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(what, max_bytes)
        if chunk:
            handed_at = loop.time()
            yield chunk
            due += loop.time() - handed_at  # what is done with it is no fault of the sender
        if not message["more_body"]:
            return
        if received >= due_bytes:
            due, due_bytes = loop.time() + STALL_S, received + STALL_BYTES


def content_length(request: AnyRequest) -> int | None:
    """What the request says of its body's length; 0 where it has none, None where it streams."""
    text = request.headers.get("content-length")
    if text is not None and text.isascii() and text.isdigit():
        return int(text[:20])
    return None if "transfer-encoding" in request.headers else 0


def media_type(request: AnyRequest) -> str:
    """The Content-Type without its options, lower case."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _too_large(what: str, most: int) -> TooLarge:
    return TooLarge(f"{what} may have at most {format_bytes(most)}")
