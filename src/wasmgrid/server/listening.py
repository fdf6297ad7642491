"""The socket of the API, and uvicorn on it inside our own loop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from litestar import Litestar

from wasmgrid.core.errors import InvalidField, Unavailable
from wasmgrid.server.http import BoundedProtocol

DEFAULT_PORT = 3030
GRACE_S = 2  # open requests get this long at shutdown
_BACKLOG = 2048
_KEEP_ALIVE_S = 30
_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- how this machine reaches what listens everywhere


class ApiServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own, and stops more than this."""

    def __init__(self, app: Litestar, *, certificate: Path | None = None, key: Path | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",  # the application has none; a failure in one would end the process from inside
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # nobody is told where a request came from
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def serve_on(self, listener: socket.socket) -> None:
        """Answer on `listener` until `stop`."""
        try:
            await self.serve(sockets=[listener])
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take no more requests and wait for those under way, `GRACE_S` at most."""
        self.should_exit = True
        await self._ended.wait()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered; a stream that is followed counts."""
        return bool(self.server_state.tasks)


def check_host(host: str) -> None:
    """Raise `InvalidField` unless `host` is of this machine alone: without TLS nobody else is to listen in."""
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise InvalidField(
        f"cannot listen on {host!r} without TLS: it is no address of this machine alone",
        hint=f"serve other machines with TLS: --listen {host or 'ADDR'}",
        field="host",
    )


def check_listen(address: str) -> None:
    """Raise `InvalidField` unless `address` is one of this machine, or a name of one."""
    try:
        _listen(address, 0).close()
    except OSError as error:
        raise InvalidField(
            f"cannot listen on {address!r}: {error.strerror or error}",
            hint="--listen takes an address of this machine, 0.0.0.0 for all; how others call it: --advertise",
            field="listen",
        ) from error


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket. None: port 3030, or a free one where that is taken. Raises `Unavailable`, `InvalidField`."""
    if port is not None and not 0 <= port < 1 << 16:
        raise InvalidField(f"{port} is not a port", field="port")
    try:
        return _listen(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is not None:
            raise Unavailable(
                f"cannot listen on {host} port {port}: {error.strerror}",
                hint="name another one: --port 0 takes one that is free",
            ) from error
    return _listen(host, 0)


def url_of(listener: socket.socket, *, scheme: str = "http", host: str | None = None) -> str:
    """The base URL of the API behind it, as this machine reaches it; or as others do, who know it as `host`."""
    bound, port = listener.getsockname()[:2]
    name = host or _NEAR.get(bound, bound)
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"


def raise_open_file_limit() -> None:
    """As many open files as the system allows: every client of a stream holds one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own below an unlimited one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    return listener
