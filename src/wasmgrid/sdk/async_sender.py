"""How the async client sends calls: over httpx, which is loaded here and nowhere else."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import httpx

from wasmgrid import __version__
from wasmgrid.core.errors import Unreachable, WasmgridError
from wasmgrid.sdk import endpoint, steps
from wasmgrid.sdk.blobs import CHUNK_BYTES, Blob
from wasmgrid.sdk.calls import Call, Download, Request, Stream
from wasmgrid.sdk.failures import ClientClosed
from wasmgrid.sdk.problems import error_of
from wasmgrid.sdk.sender import SILENCE_S, TIMEOUT_S
from wasmgrid.sdk.servers import AWAY, Servers, all_away, trusted, unreachable
from wasmgrid.sdk.transport import CONNECT_S

T = TypeVar("T")

CONNECTIONS = 16  # for calls; each is kept. With more, httpx looks through them longer than they save


class AsyncSender:
    """Sends calls to one grid; any number of them at once. Same arguments and errors as `Sender`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ca: Path | str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        found = endpoint.find(url, token, ca)
        self.servers = Servers(found.urls)
        headers = {"User-Agent": f"wasmgrid/{__version__}"}
        if found.token:
            headers["Authorization"] = f"Bearer {found.token}"
        self._timeout_s = timeout_s
        tls = trusted(found)
        # None: no server has a certificate to be checked, and loading the system's authorities takes a while
        verify = tls if tls is not None else False
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx.AsyncClient(headers=headers, trust_env=False, verify=verify, limits=limits)
        self._turns = asyncio.Semaphore(CONNECTIONS)  # httpx's own queue is looked through at every call
        # any number of streams, which may last: none of them takes a connection from the calls
        self._streams = httpx.AsyncClient(headers=headers, trust_env=False, verify=verify, limits=httpx.Limits())

    @property
    def url(self) -> str:
        """The server that is asked now."""
        return self.servers.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._streams.aclose()

    # -- how calls are sent -------------------------------------------------------------------------------------------

    async def send(self, call: Call[T]) -> T:
        """One call, one answer."""
        failures: list[WasmgridError] = []
        while True:
            asked = self.url
            try:
                return await self._send(call)
            except AWAY as error:
                failures.append(error)
                if not self.servers.another(call, failures, than=asked):
                    raise all_away(failures) from error

    async def perform(self, procedure: steps.Steps[T]) -> T:
        """Several calls, as `steps` orders them."""
        try:
            step = next(procedure)
            while True:
                try:
                    answer = await self._step(step)
                except WasmgridError as error:
                    step = procedure.throw(error)
                else:
                    step = procedure.send(answer)
        except StopIteration as done:
            value: T = done.value
            return value

    async def stream(self, call: Stream[T]) -> AsyncGenerator[T, None]:
        """What the server says, as it says it; ends when the server ends it, or with `Unreachable` in the middle."""
        async with aclosing(self.bursts(call)) as bursts:
            async for some in bursts:
                for each in some:
                    yield each

    async def bursts(self, call: Stream[T]) -> AsyncGenerator[list[T], None]:
        """The same, where what came at once comes at once: after each list the server may have nothing for a while."""
        parser = call.parser()
        async with self._opened(call, timeout_s=SILENCE_S) as response:
            async for chunk in self._chunks(response):
                decoded = (call.decode(each) for each in parser.feed(chunk))
                yield [said for said in decoded if said is not None]

    async def download(self, call: Download, into: IO[bytes]) -> int:
        """Write the answer's bytes to `into`; returns how many there were."""
        size = 0
        async with self._opened(call, timeout_s=self._timeout_s) as response:
            async for chunk in self._chunks(response):
                into.write(chunk)
                size += len(chunk)
        return size

    # -- one exchange -------------------------------------------------------------------------------------------------

    async def _step(self, step: steps.Step) -> object:
        if isinstance(step, steps.Pause):
            await asyncio.sleep(step.seconds)
            return None
        return await self.send(step)

    async def _send(self, call: Call[T]) -> T:
        async with self._turns:
            response = await self._open(call, timeout_s=self._timeout_s, absent=call.absent is not None)
            async with self._reading(response):
                body = await self._read(response)
        if response.status_code == 404 and call.absent is not None:
            return call.absent
        return call.decode(body)

    @asynccontextmanager
    async def _opened(self, request: Request, *, timeout_s: float) -> AsyncIterator[httpx.Response]:
        """A response read bit by bit, from the first server that gives one."""
        failures: list[WasmgridError] = []
        while True:
            asked = self.url
            try:
                response = await self._open(request, timeout_s=timeout_s)
                break
            except AWAY as error:
                failures.append(error)
                if not self.servers.another(request, failures, than=asked):
                    raise all_away(failures) from error
        try:
            async with self._reading(response):
                yield response
        except Unreachable:
            self.servers.go_on(than=asked)  # whoever comes back asks another first
            raise

    async def _open(self, request: Request, *, timeout_s: float, absent: bool = False) -> httpx.Response:
        """The response to `request`, its body still to be read; what the server refuses is raised."""
        body = request.body
        headers = {"Content-Type": request.content_type} if body else {}
        if isinstance(body, Blob):
            headers["Content-Length"] = str(body.size)
        if request.last_event_id:
            headers["Last-Event-ID"] = request.last_event_id
        timeout = httpx.Timeout(timeout_s + request.wait_s, connect=CONNECT_S, pool=None)  # who comes late waits
        http = self._http if isinstance(request, Call) else self._streams
        asked = http.build_request(
            request.method,
            self.url + request.target,
            content=_chunks_of(body) if isinstance(body, Blob) else body,
            headers=headers,
            timeout=timeout,
        )
        if self._http.is_closed:
            raise ClientClosed("the client is closed", hint="make another one")
        try:
            response = await http.send(asked, stream=True)
        except httpx.TransportError as error:
            away = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise unreachable(self.url, _cause(error), asked=not away) from error
        if response.status_code < 300 or (absent and response.status_code == 404):
            return response
        async with self._reading(response):
            raise error_of(response.status_code, await self._read(response))

    @asynccontextmanager
    async def _reading(self, response: httpx.Response) -> AsyncIterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise unreachable(self.url, _cause(error)) from error
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(response)])

    @staticmethod
    async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
        async for chunk in response.aiter_bytes(CHUNK_BYTES if not _is_stream(response) else None):
            yield chunk


def _is_stream(response: httpx.Response) -> bool:
    content_type: str = response.headers.get("content-type", "")
    return content_type.startswith(("text/event-stream", "application/x-ndjson"))


async def _chunks_of(blob: Blob) -> AsyncIterator[bytes]:
    for chunk in blob.chunks():
        yield chunk


def _cause(error: BaseException) -> Exception:
    """What the operating system said, which httpx and anyio wrap several times."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLError):
            return inner  # its number is not the operating system's
        if isinstance(inner, OSError) and inner.errno:
            return OSError(inner.errno, os.strerror(inner.errno)) if inner.errno > 0 else inner
        inner = inner.__cause__ or inner.__context__
    return TimeoutError() if isinstance(error, httpx.TimeoutException) else Exception(str(error))
