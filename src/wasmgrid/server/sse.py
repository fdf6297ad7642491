"""Server-sent events: how they are written, and a response that neither waits for ever nor outlives its reader."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar.connection import Request
from litestar.response import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

KEEP_ALIVE_S = 15.0
STALL_S = 30.0  # a reader that takes nothing for so long is dropped, and may come back with its offset
KEEP_ALIVE = b": still here\n\n"


def event(kind: str, data: Any, *, id: str = "") -> bytes:  # noqa: A002 - the field's own name
    """One event; `data` becomes JSON, which has no line breaks."""
    head = f"id: {id}\nevent: {kind}\n" if id else f"event: {kind}\n"
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


class Streams:
    """All event streams of one application, so that a server that stops can end them."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self.open = 0

    def close(self) -> None:
        """End every stream now; readers come back with their offsets."""
        self._closing.set()

    async def run(self, frames: AsyncIterator[bytes], send: Send, receive: Receive) -> None:
        """Send `frames` until they end, the reader goes or stalls, or the server stops."""
        self.open += 1
        sending = asyncio.create_task(_send_all(frames, send))
        others = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._closing.wait())]
        try:
            await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
            if self._closing.is_set() and not sending.done():
                await _cancel([sending])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif sending.done() and not sending.result():
                await _abort(receive)
        finally:
            self.open -= 1
            await _cancel([sending, *others])


class EventStream(Response[bytes]):
    """A response of server-sent events."""

    def __init__(self, frames: AsyncIterator[bytes], streams: Streams) -> None:
        super().__init__(b"", media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._frames = frames
        self._streams = streams

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **kwargs: Any) -> ASGIResponse:  # noqa: ARG002
        """The response as it is sent."""
        headers = {**self.headers, **kwargs.get("headers", {})}
        return _AsgiEventStream(self._frames, self._streams, headers)


class _AsgiEventStream(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, frames: AsyncIterator[bytes], streams: Streams, headers: dict[str, str]) -> None:
        super().__init__(media_type="text/event-stream", headers=headers)
        self._frames = frames
        self._streams = streams

    async def send_body(self, send: Send, receive: Receive) -> None:
        await self._streams.run(self._frames, send, receive)


async def _send_all(frames: AsyncIterator[bytes], send: Send) -> bool:
    """Whether the reader took everything."""
    try:
        async for frame in frames:
            async with asyncio.timeout(STALL_S):
                await send({"type": "http.response.body", "body": frame, "more_body": True})
    except TimeoutError:
        return False
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
