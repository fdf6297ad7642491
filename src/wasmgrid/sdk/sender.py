"""How the sync client sends calls: `http.client` over kept-alive connections. Any number of threads may use one."""

from __future__ import annotations

import http.client
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from wasmgrid.core.errors import Unreachable, WasmgridError
from wasmgrid.sdk import endpoint, steps
from wasmgrid.sdk.calls import Call, Download, Request, Stream
from wasmgrid.sdk.problems import error_of
from wasmgrid.sdk.servers import AWAY, Servers, all_away, trusted, unreachable
from wasmgrid.sdk.transport import Transport

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT_S = 30.0  # for an answer, beyond what the call lets the server wait
SILENCE_S = 60.0  # a stream that says nothing for so long is opened again by whoever follows it
IDLE = 8  # connections that are kept; more threads than that open others, which are closed again

_GONE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


class Sender:
    """Sends calls to one grid; what they are is said in `calls`, `arrays` and `steps`.

    `url` names its server (or several, comma-separated, of which any will do) and `token` opens it; they default to
    `$WASMGRID_SERVER` and `$WASMGRID_TOKEN`, then to the server that runs in the home. Certificates are checked against
    `ca` (a PEM file) or `$WASMGRID_CA`, else the home's own authority, else the system's. Where a server does not
    answer, the next is asked what may be asked twice. Every method raises a `WasmgridError`: the server's own, or
    `Unreachable`.
    """

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
        self.transport = Transport(self.servers, trusted(found), found.token)
        self._timeout_s = timeout_s
        self._idle: deque[http.client.HTTPConnection] = deque()

    @property
    def url(self) -> str:
        """The server that is asked now."""
        return self.servers.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next call opens another."""
        while self._idle:
            self._idle.pop().close()

    def send(self, call: Call[T]) -> T:
        """One call, one answer."""
        return self._anywhere(call, lambda: self._send(call))

    def perform(self, procedure: steps.Steps[T]) -> T:
        """Several calls, as `steps` orders them."""
        try:
            step = next(procedure)
            while True:
                try:
                    answer = self._step(step)
                except WasmgridError as error:
                    step = procedure.throw(error)
                else:
                    step = procedure.send(answer)
        except StopIteration as done:
            value: T = done.value
            return value

    def stream(self, call: Stream[T]) -> Iterator[T]:
        """What the server says, as it says it; ends when the server ends it, or with `Unreachable` in the middle."""
        for some in self.bursts(call):
            yield from some

    def bursts(self, call: Stream[T]) -> Iterator[list[T]]:
        """The same, where what came at once comes at once: after each list the server may have nothing for a while."""
        parser = call.parser()
        with self._opened(call, timeout_s=SILENCE_S) as response:
            while chunk := self.transport.piece(response.read1):
                decoded = (call.decode(each) for each in parser.feed(chunk))
                yield [said for said in decoded if said is not None]

    def download(self, call: Download, into: IO[bytes]) -> int:
        """Write the answer's bytes to `into`; returns how many there were."""
        size = 0
        with self._opened(call, timeout_s=self._timeout_s) as response:
            while chunk := self.transport.piece(response.read):
                into.write(chunk)
                size += len(chunk)
        return size

    # -- one exchange -------------------------------------------------------------------------------------------------

    def _step(self, step: steps.Step) -> object:
        if isinstance(step, steps.Pause):
            time.sleep(step.seconds)
            return None
        return self.send(step)

    def _anywhere(self, request: Request, attempt: Callable[[], R]) -> R:
        """`attempt`, at the next server where one is away and was not asked yet, or may be asked twice."""
        failures: list[WasmgridError] = []
        while True:
            asked = self.url
            try:
                return attempt()
            except AWAY as error:
                failures.append(error)
                if not self.servers.another(request, failures, than=asked):
                    raise all_away(failures) from error

    def _send(self, call: Call[T]) -> T:
        connection = None
        try:
            connection, response = self._exchange(call)
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            raise unreachable(self.url, error) from error
        except BaseException:
            if connection is not None:
                connection.close()  # an answer left half read would be taken for the next call's
            raise
        self._keep(connection)
        if response.status == 404 and call.absent is not None:
            return call.absent
        if response.status >= 300:
            raise error_of(response.status, body)
        return call.decode(body)

    def _exchange(self, request: Request) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The response to `request` over a kept connection, over a new one where the server had closed that."""
        if request.repeatable:  # a kept connection may turn out to be closed only once the request may have arrived
            kept = self._kept()
            if kept is not None:
                try:
                    return kept, self._ask(kept, request)
                except _GONE:
                    Sender.close(self)  # they were closed all together, most likely
        connection = self.transport.connect()
        return connection, self._ask(connection, request)

    def _ask(self, connection: http.client.HTTPConnection, request: Request) -> http.client.HTTPResponse:
        try:
            return self.transport.ask(connection, request, self._timeout_s)
        except BaseException:
            connection.close()
            raise

    def _kept(self) -> http.client.HTTPConnection | None:
        """The connection that was used last, to the server that is asked now."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if self.transport.leads_on(connection):
                return connection
            connection.close()

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        if len(self._idle) < IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    @contextmanager
    def _opened(self, request: Request, *, timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        """A response read bit by bit, over a connection of its own."""
        connection, response = self._anywhere(request, lambda: self._open(request, timeout_s))
        asked = self.url
        try:
            yield response
        except Unreachable:
            self.servers.go_on(than=asked)  # whoever comes back asks another first
            raise
        finally:
            connection.close()

    def _open(self, request: Request, timeout_s: float) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self.transport.connect()
        try:
            response = self.transport.piece(lambda _: self.transport.ask(connection, request, timeout_s))
            if response.status >= 300:
                raise error_of(response.status, self.transport.piece(response.read))
        except BaseException:
            connection.close()
            raise
        return connection, response
