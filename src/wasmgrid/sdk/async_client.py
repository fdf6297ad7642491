"""The async client: the same calls as `Client`, to await; any number of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

from wasmgrid.core.job import JobSpec
from wasmgrid.core.overview import Overview
from wasmgrid.sdk import arrays, calls, endings, looks, options, steps, views
from wasmgrid.sdk.async_jobs import BRIEF_S, AsyncJob, AsyncWatcher, Ending
from wasmgrid.sdk.async_mapping import AsyncFunction, AsyncMapped, mapped
from wasmgrid.sdk.async_sender import CONNECTIONS, AsyncSender
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.calls import JobId
from wasmgrid.sdk.options import JobOptions, spelled_out
from wasmgrid.sdk.program import Program
from wasmgrid.sdk.results import AsyncResult
from wasmgrid.sdk.sender import TIMEOUT_S
from wasmgrid.sdk.taskviews import Submitted, Value

T = TypeVar("T")


class AsyncClient(AsyncSender):
    """A grid, as an async program uses it: the methods, arguments and errors of `Client`, to await.

        async with wasmgrid.AsyncClient() as client:
            print((await client.run("hello.rs", memory_mb=100)).stdout)

    It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ca: Path | str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(url, token, ca=ca, timeout_s=timeout_s)
        self._watcher = AsyncWatcher(self)
        self._running = 0
        self.maps: dict[str, JobSpec] = {}  # those that somebody reads, by their keys

    async def close(self) -> None:
        """Close all connections; jobs that were submitted go on, and whoever waits for one hears `ClientClosed`.

        A `map` that was not read to its end is cancelled.
        """
        await self._watcher.close()
        for spec in list(self.maps.values()):
            await self.perform(steps.abandon(spec))
        await super().close()

    # -- programs and functions ---------------------------------------------------------------------------------------

    @spelled_out
    async def run(self, source: Program, *, check: bool = False, **asked: Unpack[JobOptions]) -> AsyncResult:
        """Run a program and wait for its end; see `Client.run`. Who cancels this cancels the job."""
        made = await asyncio.to_thread(options.request, source, asked)
        spec = steps.keyed(made.spec)
        try:
            job = await self.ended(spec, made.blobs)
        except asyncio.CancelledError:
            await self.perform(steps.abandon(spec))
            raise
        result = await self.result_of_job(job)
        return result.check() if check else result

    @spelled_out
    async def submit(self, source: Program, **asked: Unpack[JobOptions]) -> AsyncJob[AsyncResult]:
        """Submit a program and return at once, with a job to await. Arguments as for `run`."""
        made = await asyncio.to_thread(options.request, source, asked)
        job = await self.submit_spec(made.spec, made.blobs)
        endings.warn(job)
        return self.follow(job)

    @spelled_out
    def map(
        self,
        source: Program,
        inputs: Iterable[Any],
        /,
        *,
        function: str | None = None,
        ordered: bool = True,
        as_args: bool = False,
        return_exceptions: bool = False,
        progress: bool | None = None,
        **asked: Unpack[JobOptions],
    ) -> AsyncMapped[Any]:
        """Run a program, or call a function, once for each of `inputs`; see `Client.map`.

        It is submitted when the first result is asked for: `async for value in client.map(...)`.
        """
        return mapped(
            self, source, inputs, asked, function=function, ordered=ordered, as_args=as_args,
            return_exceptions=return_exceptions, progress=progress,
        )  # fmt: skip

    @spelled_out
    def function(self, source: Program, name: str, /, **asked: Unpack[JobOptions]) -> AsyncFunction:
        """A function of `source` that runs on the grid: `await add(2, 3)`, `add.map(xs, ys)`; see `Client.function`."""
        return AsyncFunction(self, source, name, asked)

    async def job(self, job_id: JobId) -> AsyncJob[AsyncResult]:
        """A job that was submitted before, here or elsewhere, to await; `"last"` is the newest."""
        return self.follow(await self.status(job_id))

    # -- what jobs and results are made with --------------------------------------------------------------------------

    def follow(self, view: views.Job, finish: Callable[[views.Job], Any] | None = None) -> AsyncJob[Any]:
        """A job of this grid to await; `finish` makes its result out of the finished job (default: `AsyncResult`)."""
        job: AsyncJob[Any] = AsyncJob(self, view, finish or self.result_of_job)
        self._watcher.add(job, view)
        return job

    async def ended(self, spec: JobSpec, blobs: Mapping[str, Blob]) -> views.Job:
        """The job of a request once it has ended.

        Where few are asked for at once, and it is soon over, that is one call; else all are waited for together.
        """
        self._running += 1
        try:
            wait_s = BRIEF_S if self._running <= CONNECTIONS // 2 else 0.0
            job = await self.perform(steps.begin(spec, blobs, wait_s=wait_s))
            if job.done:
                return job
            endings.warn(job)
            ending = Ending(job.id)
            self._watcher.add(ending, job)
            return await ending.future
        finally:
            self._running -= 1

    async def result_of_job(self, job: views.Job) -> AsyncResult:
        """What a finished job came to; raises `BuildFailed` where its source does not compile."""
        await self.perform(endings.built(job))
        return AsyncResult(self, job) if job.result is None else await self.result_of(job, job.result)

    async def result_of(self, job: views.Job, task: views.Result) -> AsyncResult:
        """What one task of a job came to, its output whole."""
        return AsyncResult(self, job, task, **await self.perform(endings.whole(task)))

    # -- single calls -------------------------------------------------------------------------------------------------

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
        """All attempts of a job that ended, by task, oldest first. An array's that gave a result are in `tasks`."""
        found: list[views.Attempt] = []
        cursor: str | None = None
        while True:
            page = await self.send(calls.attempts(job_id, cursor=cursor))
            found += page.attempts
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def timeline(self, job_id: JobId, *, index: int | None = None) -> looks.Timeline:
        """When each stage of a job (or of one task of an array) began and ended, and its attempts."""
        return await self.send(looks.timeline(job_id, index=index))

    async def task_map(self, job_id: JobId, *, cells: int = 2000) -> looks.TaskMap:
        """An array at one glance: states and durations in at most `cells` cells, a histogram, failures in groups."""
        return await self.send(looks.task_map(job_id, cells=cells))

    async def overview(self) -> Overview:
        """The grid at one glance: jobs by state, queue, workers, success rate, and a quarter of an hour as a series."""
        return await self.send(calls.overview())

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

    async def jobs(
        self,
        *,
        state: str | Sequence[str] | None = None,
        name: str | None = None,
        search: str | None = None,
        language: str | None = None,
        worker: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
    ) -> AsyncIterator[views.Job]:
        """All jobs, newest first (`sort`: newest, oldest, finished), fetched as they are asked for.

        `state` is one or several, `name` a part of it, `search` a number or a part of a name or a language; `since` and
        `until` bound the submission.
        """
        ask = partial(
            calls.jobs, state=state, name=name, search=search, language=language, worker=worker, since=since,
            until=until, sort=sort, limit=100,
        )  # fmt: skip
        cursor: str | int | None = None
        while True:
            page = await self.send(ask(cursor=cursor))
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
