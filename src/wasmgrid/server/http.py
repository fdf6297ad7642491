"""uvicorn's HTTP/1.1 protocol with bounds on a request's head, which it takes without end and waits for without end.

Bodies are bounded where they are read (`bodies`); idle connections end by uvicorn's keep-alive time.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 512 << 10  # more than one read from the socket, so that what follows a head in it does not count
HEAD_S = 15.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head that is too long gets 431, one that does not end in time 408; then it is closed."""

    _head_bytes = 0
    _in_head = True
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Whoever connects has something to say."""
        super().connection_made(transport)
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
