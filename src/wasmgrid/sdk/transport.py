"""One exchange over http.client: a connection to the server that is asked now, and a request sent over it."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from wasmgrid import __version__
from wasmgrid.sdk.blobs import CHUNK_BYTES, Blob
from wasmgrid.sdk.request import Request
from wasmgrid.sdk.servers import Servers, unreachable

R = TypeVar("R")

CONNECT_S = 5.0


class Transport:
    """How a sync client reaches `servers`. What fails of the network is raised as `Unreachable`."""

    def __init__(self, servers: Servers, tls: ssl.SSLContext | None, token: str | None) -> None:
        self._servers = servers
        self._tls = tls
        self._token = token

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the server that is asked now."""
        parts = self._servers.parts
        host = parts.hostname or "127.0.0.1"
        connection = (
            http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_S, context=self._tls)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise unreachable(self._servers.url, error, asked=False) from error
        return connection

    def leads_on(self, connection: http.client.HTTPConnection) -> bool:
        """Whether a kept connection is to the server that is asked now."""
        parts = self._servers.parts
        host = parts.hostname or "127.0.0.1"
        port = parts.port or connection.default_port
        return connection.sock is not None and (connection.host, connection.port) == (host, port)

    def ask(
        self, connection: http.client.HTTPConnection, request: Request, timeout_s: float
    ) -> http.client.HTTPResponse:
        """The head of the answer, which may take `timeout_s` longer than the server may hold it; errors as they are."""
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s + request.wait_s)
        target = self._servers.parts.path.rstrip("/") + request.target
        body: Any = request.body or None
        headers = self._headers(request)
        if isinstance(request.body, Blob):
            headers["Content-Length"] = str(request.body.size)
            body = request.body.chunks()
        try:
            connection.request(request.method, target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # The server may have refused a large body before its end and said why.
            if not isinstance(request.body, Blob):
                raise
        return connection.getresponse()

    def piece(self, read: Callable[[int], R]) -> R:
        """What `read` gives of the network; its errors are the server's, those of whoever takes the bytes are not."""
        try:
            return read(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self._servers.url, error) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"User-Agent": f"wasmgrid/{__version__}", "Accept": "*/*"}
        if request.body:
            headers["Content-Type"] = request.content_type
        if request.last_event_id:
            headers["Last-Event-ID"] = request.last_event_id
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers
