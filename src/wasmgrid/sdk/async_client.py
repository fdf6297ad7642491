"""The async client: the same calls over httpx, which is loaded here and nowhere else."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import httpx

from wasmgrid import __version__
from wasmgrid.core.errors import Unreachable, WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import arrays, calls, endpoint, steps, views
from wasmgrid.sdk.blobs import CHUNK_BYTES, Blob
from wasmgrid.sdk.calls import Call, Download, JobId, Request, Stream
from wasmgrid.sdk.client import CONNECT_S, SILENCE_S, TIMEOUT_S
from wasmgrid.sdk.problems import error_of
from wasmgrid.sdk.servers import AWAY, Servers, all_away, trusted, unreachable
from wasmgrid.sdk.taskviews import Submitted, Value

T = TypeVar("T")


class AsyncClient:
    """Sends calls to one grid; any number of them at once. Same arguments and errors as `Client`."""

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
        self._http = httpx.AsyncClient(headers=headers, trust_env=False, verify=tls if tls is not None else False)

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
            call = next(procedure)
            while True:
                try:
                    answer = await self.send(call)
                except WasmgridError as error:
                    call = procedure.throw(error)
                else:
                    call = procedure.send(answer)
        except StopIteration as done:
            value: T = done.value
            return value

    async def stream(self, call: Stream[T]) -> AsyncGenerator[T, None]:
        """What the server says, as it says it; ends when the server ends it, or with `Unreachable` in the middle."""
        parser = call.parser()
        async with self._opened(call, timeout_s=SILENCE_S) as response:
            async for chunk in self._chunks(response):
                for event in parser.feed(chunk):
                    said = call.decode(event)
                    if said is not None:
                        yield said

    async def download(self, call: Download, into: IO[bytes]) -> int:
        """Write the answer's bytes to `into`; returns how many there were."""
        size = 0
        async with self._opened(call, timeout_s=self._timeout_s) as response:
            async for chunk in self._chunks(response):
                into.write(chunk)
                size += len(chunk)
        return size

    # -- the calls people make ----------------------------------------------------------------------------------------

    async def submit_spec(
        self, spec: JobSpec, blobs: Mapping[str, Blob] | None = None, *, wait_s: float = 0.0
    ) -> views.Job:
        """Submit a job (`sdk.prepare.job` makes one out of files); uploads what the server lacks of `blobs`."""
        return await self.perform(steps.submit(spec, blobs or {}, wait_s=wait_s))

    async def wait(self, job_id: JobId, *, timeout_s: float | None = None) -> views.Job:
        """The job when it is finished, or as it is after `timeout_s`."""
        return await self.perform(steps.wait(job_id, timeout_s))

    async def status(self, job_id: JobId) -> views.Job:
        """One job; `last` is the newest."""
        return await self.send(calls.job(job_id))

    async def cancel(self, job_id: JobId) -> views.Job | None:
        """Ask for a job's end; the job as it is then, where the server says it."""
        return await self.send(calls.cancel(job_id))

    async def why(self, job_id: JobId) -> views.Why:
        """Why a job is where it is."""
        return await self.send(calls.why(job_id))

    async def attempts(self, job_id: JobId) -> list[views.Attempt]:
        """All attempts of a job that ended, oldest first."""
        return (await self.send(calls.attempts(job_id))).attempts

    async def workers(self) -> list[views.Worker]:
        """All workers, with what each has and what of it is taken."""
        return (await self.send(calls.workers())).workers

    async def drain(self, worker_id: str) -> views.Worker:
        """Let a worker finish what it holds, take nothing more, and go."""
        return await self.send(calls.worker_action(worker_id, "drain"))

    async def cordon(self, worker_id: str) -> views.Worker:
        """Give a worker nothing new, until `uncordon`."""
        return await self.send(calls.worker_action(worker_id, "cordon"))

    async def uncordon(self, worker_id: str) -> views.Worker:
        """Give a worker tasks again that was cordoned or quarantined."""
        return await self.send(calls.worker_action(worker_id, "uncordon"))

    async def jobs(self, *, state: str | None = None, name: str | None = None) -> AsyncIterator[views.Job]:
        """All jobs, newest first, fetched as they are asked for."""
        cursor: str | int | None = None
        while True:
            page = await self.send(calls.jobs(state=state, name=name, limit=100, cursor=cursor))
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    # -- many tasks, many jobs ----------------------------------------------------------------------------------------

    async def submit_many(self, specs: Sequence[JobSpec], blobs: Mapping[str, Blob] | None = None) -> list[Submitted]:
        """Submit many jobs, up to 1,000 in one commit; each is a job, or the error for which it was not taken."""
        return await self.perform(steps.submit_many(specs, blobs or {}))

    async def tasks(
        self, job_id: JobId, *, failed: bool = False, outcome: str | None = None
    ) -> AsyncIterator[views.Result]:
        """The tasks of a job that have ended, by index, fetched as they are asked for."""
        cursor: str | int | None = None
        while True:
            page = await self.send(arrays.tasks(job_id, failed=failed, outcome=outcome, cursor=cursor))
            for task in page.tasks:
                yield task
            cursor = page.next_cursor
            if cursor is None:
                return

    async def task(self, job_id: JobId, index: int) -> views.Result:
        """How one task of a job ended; raises `NotFound` where it has not."""
        return await self.send(arrays.task(job_id, index))

    def results(self, job_id: JobId, *, follow: bool = False, failed: bool = False) -> AsyncIterator[views.Result]:
        """Every task's result in the order of their ends, one at a time; until the job's end, where `follow`."""
        return self.stream(arrays.results(job_id, views.Result, follow=follow, failed=failed))

    def values(self, job_id: JobId, *, follow: bool = False) -> AsyncIterator[Value]:
        """What a function gave for each of its inputs, in the order of their ends; nothing else of a result."""
        return self.stream(arrays.results(job_id, Value, follow=follow))

    async def rerun(self, job_id: JobId, *, failed: bool = False, **overrides: Any) -> views.Job:
        """Submit a job again, as a new one; `failed`: only its tasks that did not succeed, under their indexes."""
        return await self.send(arrays.rerun(job_id, failed=failed, overrides=overrides))

    # -- one exchange -------------------------------------------------------------------------------------------------

    async def _send(self, call: Call[T]) -> T:
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
        timeout = httpx.Timeout(timeout_s + request.wait_s, connect=CONNECT_S)
        asked = self._http.build_request(
            request.method,
            self.url + request.target,
            content=_chunks_of(body) if isinstance(body, Blob) else body,
            headers=headers,
            timeout=timeout,
        )
        try:
            response = await self._http.send(asked, stream=True)
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
