"""Responses that are sent piece by piece: none waits for ever for a reader, none outlives it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from litestar.connection import Request
from litestar.response import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from wasmgrid.server import sse

STALL_S = 30.0  # a reader that takes nothing for so long is dropped, and may come back with its offset


class Streams:
    """All event streams of one application, so that a server that stops can end them."""

    def __init__(self) -> None:
        self.closing = asyncio.Event()
        self.open = 0

    def close(self) -> None:
        """End every stream now; readers come back with their offsets."""
        self.closing.set()


class Pieces(Response[bytes]):
    """A response whose body is `pieces`, as they come."""

    def __init__(self, pieces: AsyncIterator[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(b"", media_type=media_type, headers=dict(headers))
        self._pieces = pieces

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **kwargs: Any) -> ASGIResponse:  # noqa: ARG002
        """The response as it is sent."""
        headers = {**kwargs.get("headers", {}), **self.headers}
        return _AsgiPieces(self._send, media_type=str(self.media_type), headers=headers)

    async def _send(self, send: Send, receive: Receive) -> None:
        await _run(self._pieces, send, receive)


class EventStream(Pieces):
    """Server-sent events; they end when the server stops."""

    def __init__(self, events: AsyncIterator[bytes], streams: Streams) -> None:
        super().__init__(events, media_type=sse.MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        self._streams = streams

    async def _send(self, send: Send, receive: Receive) -> None:
        self._streams.open += 1
        try:
            await _run(self._pieces, send, receive, closing=self._streams.closing)
        finally:
            self._streams.open -= 1


class LineStream(Pieces):
    """Lines of JSON. Where the server stops, the connection is cut: an end in order would say that these were all."""

    def __init__(self, lines: AsyncIterator[bytes], streams: Streams, *, media_type: str) -> None:
        super().__init__(lines, media_type=media_type, headers={"X-Accel-Buffering": "no"})
        self._streams = streams

    async def _send(self, send: Send, receive: Receive) -> None:
        self._streams.open += 1
        try:
            await _run(self._pieces, send, receive, closing=self._streams.closing, cut=True)
        finally:
            self._streams.open -= 1


class _AsgiPieces(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, run: Any, *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._run = run

    async def send_body(self, send: Send, receive: Receive) -> None:
        await self._run(send, receive)


async def _run(
    pieces: AsyncIterator[bytes],
    send: Send,
    receive: Receive,
    *,
    closing: asyncio.Event | None = None,
    cut: bool = False,
) -> None:
    """Send `pieces` until they end, the reader goes or stalls, or the server stops; `cut`: that shows as a failure."""
    sending = asyncio.create_task(_send_all(pieces, send))
    others = [asyncio.create_task(_gone(receive))]
    if closing is not None:
        others.append(asyncio.create_task(_closed(closing)))
    try:
        await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            if not sending.result():
                await _abort(receive)
        elif closing is not None and closing.is_set():
            await _cancel([sending])
            if cut:
                await _abort(receive)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        await _cancel([sending, *others])


async def _send_all(pieces: AsyncIterator[bytes], send: Send) -> bool:
    """Whether the reader took everything."""
    try:
        async for piece in pieces:
            async with asyncio.timeout(STALL_S):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        return False
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _closed(closing: asyncio.Event) -> None:
    await closing.wait()


async def _abort(receive: Receive) -> None:
    """Cut it: to close it would wait for one who reads nothing. Uvicorn's `receive` belongs to what holds it."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0.01)  # uvicorn hears of it, and misses no response


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
