"""The sync client: `http.client` over one kept-alive connection. Not for several threads at once: one client each."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from wasmgrid.core.errors import Unreachable, WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import arrays, calls, endpoint, steps, views
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.calls import Call, Download, JobId, Request, Stream
from wasmgrid.sdk.problems import error_of
from wasmgrid.sdk.servers import AWAY, Servers, all_away, trusted, unreachable
from wasmgrid.sdk.taskviews import Submitted, Value
from wasmgrid.sdk.transport import CONNECT_S as CONNECT_S  # noqa: PLC0414 -- said as client.CONNECT_S
from wasmgrid.sdk.transport import Transport

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT_S = 30.0  # for an answer, beyond what the call lets the server wait
SILENCE_S = 60.0  # a stream that says nothing for so long is opened again by whoever follows it


class Client:
    """Sends calls to one grid.

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
        self._transport = Transport(self.servers, trusted(found), found.token)
        self._timeout_s = timeout_s
        self._kept: http.client.HTTPConnection | None = None

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
        """Close the connection; the next call opens another."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    # -- how calls are sent -------------------------------------------------------------------------------------------

    def send(self, call: Call[T]) -> T:
        """One call, one answer."""
        return self._anywhere(call, lambda: self._send(call))

    def perform(self, procedure: steps.Steps[T]) -> T:
        """Several calls, as `steps` orders them."""
        try:
            call = next(procedure)
            while True:
                try:
                    answer = self.send(call)
                except WasmgridError as error:
                    call = procedure.throw(error)
                else:
                    call = procedure.send(answer)
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
            while chunk := self._transport.piece(response.read1):
                decoded = (call.decode(each) for each in parser.feed(chunk))
                yield [said for said in decoded if said is not None]

    def download(self, call: Download, into: IO[bytes]) -> int:
        """Write the answer's bytes to `into`; returns how many there were."""
        size = 0
        with self._opened(call, timeout_s=self._timeout_s) as response:
            while chunk := self._transport.piece(response.read):
                into.write(chunk)
                size += len(chunk)
        return size

    # -- the calls people make ----------------------------------------------------------------------------------------

    def submit_spec(self, spec: JobSpec, blobs: Mapping[str, Blob] | None = None, *, wait_s: float = 0.0) -> views.Job:
        """Submit a job (`sdk.prepare.job` makes one out of files); uploads what the server lacks of `blobs`."""
        return self.perform(steps.submit(spec, blobs or {}, wait_s=wait_s))

    def wait(self, job_id: JobId, *, timeout_s: float | None = None) -> views.Job:
        """The job when it is finished, or as it is after `timeout_s`."""
        return self.perform(steps.wait(job_id, timeout_s))

    def status(self, job_id: JobId) -> views.Job:
        """One job; `last` is the newest."""
        return self.send(calls.job(job_id))

    def cancel(self, job_id: JobId) -> views.Job | None:
        """Ask for a job's end; the job as it is then, where the server says it."""
        return self.send(calls.cancel(job_id))

    def why(self, job_id: JobId) -> views.Why:
        """Why a job is where it is."""
        return self.send(calls.why(job_id))

    def attempts(self, job_id: JobId) -> list[views.Attempt]:
        """All attempts of a job that ended, oldest first."""
        return self.send(calls.attempts(job_id)).attempts

    def workers(self) -> list[views.Worker]:
        """All workers, with what each has and what of it is taken."""
        return self.send(calls.workers()).workers

    def drain(self, worker_id: str) -> views.Worker:
        """Let a worker finish what it holds, take nothing more, and go."""
        return self.send(calls.worker_action(worker_id, "drain"))

    def cordon(self, worker_id: str) -> views.Worker:
        """Give a worker nothing new, until `uncordon`."""
        return self.send(calls.worker_action(worker_id, "cordon"))

    def uncordon(self, worker_id: str) -> views.Worker:
        """Give a worker tasks again that was cordoned or quarantined."""
        return self.send(calls.worker_action(worker_id, "uncordon"))

    def jobs(self, *, state: str | None = None, name: str | None = None) -> Iterator[views.Job]:
        """All jobs, newest first, fetched as they are asked for."""
        cursor: str | int | None = None
        while True:
            page = self.send(calls.jobs(state=state, name=name, limit=100, cursor=cursor))
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    # -- many tasks, many jobs ----------------------------------------------------------------------------------------

    def submit_many(self, specs: Sequence[JobSpec], blobs: Mapping[str, Blob] | None = None) -> list[Submitted]:
        """Submit many jobs, up to 1,000 in one commit; each is a job, or the error for which it was not taken."""
        return self.perform(steps.submit_many(specs, blobs or {}))

    def tasks(self, job_id: JobId, *, failed: bool = False, outcome: str | None = None) -> Iterator[views.Result]:
        """The tasks of a job that have ended, by index, fetched as they are asked for."""
        cursor: str | int | None = None
        while True:
            page = self.send(arrays.tasks(job_id, failed=failed, outcome=outcome, cursor=cursor))
            yield from page.tasks
            cursor = page.next_cursor
            if cursor is None:
                return

    def task(self, job_id: JobId, index: int) -> views.Result:
        """How one task of a job ended; raises `NotFound` where it has not."""
        return self.send(arrays.task(job_id, index))

    def results(self, job_id: JobId, *, follow: bool = False, failed: bool = False) -> Iterator[views.Result]:
        """Every task's result in the order of their ends, one at a time; until the job's end, where `follow`."""
        return self.stream(arrays.results(job_id, views.Result, follow=follow, failed=failed))

    def values(self, job_id: JobId, *, follow: bool = False) -> Iterator[Value]:
        """What a function gave for each of its inputs, in the order of their ends; nothing else of a result."""
        return self.stream(arrays.results(job_id, Value, follow=follow))

    def rerun(self, job_id: JobId, *, failed: bool = False, **overrides: Any) -> views.Job:
        """Submit a job again, as a new one; `failed`: only its tasks that did not succeed, under their indexes."""
        return self.send(arrays.rerun(job_id, failed=failed, overrides=overrides))

    # -- one exchange -------------------------------------------------------------------------------------------------

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
                self.close()

    def _send(self, call: Call[T]) -> T:
        try:
            response = self._exchange(call)
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise unreachable(self.url, error) from error
        except BaseException:
            self.close()  # an answer left half read would be taken for the next call's
            raise
        if response.status == 404 and call.absent is not None:
            return call.absent
        if response.status >= 300:
            raise error_of(response.status, body)
        return call.decode(body)

    def _exchange(self, request: Request) -> http.client.HTTPResponse:
        """The response to `request` over the kept connection, over a new one where the server had closed that."""
        if not request.repeatable:
            self.close()  # a kept connection may turn out to be closed only once the request may have arrived
        if self._kept is not None:
            try:
                return self._transport.ask(self._kept, request, self._timeout_s)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
        self._kept = self._transport.connect()
        return self._transport.ask(self._kept, request, self._timeout_s)

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
        connection = self._transport.connect()
        try:
            response = self._transport.piece(lambda _: self._transport.ask(connection, request, timeout_s))
            if response.status >= 300:
                raise error_of(response.status, self._transport.piece(response.read))
        except BaseException:
            connection.close()
            raise
        return connection, response
