"""uvicorn's HTTP/1.1 protocol with bounds on a request's head, which it takes without end and waits for without end,
and with one write per response.

Bodies are bounded where they are read (`bodies`); idle connections end by uvicorn's keep-alive time.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 512 << 10  # more than one read from the socket, so that what follows a head in it does not count
HEAD_S = 15.0
GATHERED_BYTES = 64 << 10


class Gathering:
    """A transport that sends what is written in one turn of the loop in one piece: uvicorn writes a response in two.

    More than `GATHERED_BYTES` is not kept, so that the transport's own limits on what waits hold.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def __getattr__(self, name: str) -> Any:
        """All but writing and closing is the transport's."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it soon, with what follows."""
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > GATHERED_BYTES:
            self._flush()

    def close(self) -> None:
        """Send what is left, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        if kept and not self._transport.is_closing():
            self._transport.write(b"".join(kept))


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head that is too long gets 431, one that does not end in time 408; then it is closed."""

    _head_bytes = 0
    _in_head = True
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Whoever connects has something to say."""
        super().connection_made(cast("asyncio.Transport", Gathering(transport, self.loop)))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Most heads come in one piece, and cost nothing here."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._head_due is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_came()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_due = self.loop.call_later(HEAD_S, self._refuse, b"408 Request Timeout")

    def _head_came(self) -> None:
        self._in_head = False
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _refuse(self, status: bytes) -> None:
        self._head_came()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
