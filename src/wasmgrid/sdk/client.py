"""The sync client: what people ask of a grid. Any number of threads may use one client at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

from wasmgrid.core.job import JobSpec
from wasmgrid.core.overview import Overview
from wasmgrid.sdk import arrays, calls, endings, looks, options, steps, views
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.calls import JobId
from wasmgrid.sdk.functions import Function
from wasmgrid.sdk.jobs import Job
from wasmgrid.sdk.mapping import Mapped, mapped
from wasmgrid.sdk.options import JobOptions, spelled_out
from wasmgrid.sdk.program import Program
from wasmgrid.sdk.results import Result
from wasmgrid.sdk.sender import SILENCE_S as SILENCE_S  # noqa: PLC0414 -- said as client.SILENCE_S
from wasmgrid.sdk.sender import TIMEOUT_S as TIMEOUT_S  # noqa: PLC0414 -- said as client.TIMEOUT_S
from wasmgrid.sdk.sender import Sender
from wasmgrid.sdk.taskviews import Submitted, Value
from wasmgrid.sdk.transport import CONNECT_S as CONNECT_S  # noqa: PLC0414 -- said as client.CONNECT_S
from wasmgrid.sdk.watcher import Watcher

T = TypeVar("T")

SOON_S = 5.0  # what lasts longer is asked for again; by then a person should know what the server warned of


class Client(Sender):
    """A grid, as a program uses it.

        with wasmgrid.Client() as client:
            print(client.run("hello.rs", memory_mb=100).stdout)

    `url` names its server (or several, comma-separated, of which any will do) and `token` opens it; they default to
    `$WASMGRID_SERVER` and `$WASMGRID_TOKEN`, then to the server that runs in the home. Certificates are checked against
    `ca` (a PEM file) or `$WASMGRID_CA`, else the home's own authority, else the system's. An answer may take
    `timeout_s` seconds beyond what was asked to be waited for. Every method raises a `WasmgridError`: the server's own,
    or `Unreachable`.
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
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None

    def close(self) -> None:
        """Close the connections; jobs that were submitted go on, and whoever waits for one hears `ClientClosed`."""
        with self._lock:
            watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()
        super().close()

    # -- programs and functions ---------------------------------------------------------------------------------------

    @spelled_out
    def run(self, source: Program, *, check: bool = False, **asked: Unpack[JobOptions]) -> Result:
        """Run a program and wait for its end.

        `source` is a path, source text, or a .wasm's bytes; the keywords are those of `JobOptions`. The `Result` tells
        of any end of the program; with `check` one that did not exit with 0 raises `TaskFailed`. Raises `BuildFailed`
        where the source does not compile. With `array` it is the result of all tasks; `result.tasks()` has each.
        Whoever interrupts this (Ctrl-C) cancels the job.
        """
        made = options.request(source, asked)
        spec = steps.keyed(made.spec)
        try:
            job = self.ended(spec, made.blobs)
        except (KeyboardInterrupt, SystemExit):
            self.perform(steps.abandon(spec))
            raise
        result = self.result_of_job(job)
        return result.check() if check else result

    @spelled_out
    def submit(self, source: Program, **asked: Unpack[JobOptions]) -> Job[Result]:
        """Submit a program and return at once, with a future. Arguments as for `run`."""
        made = options.request(source, asked)
        job = self.submit_spec(made.spec, made.blobs)
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
    ) -> Mapped[Any]:
        """Run a program, or call a function, once for each of `inputs`; iterate over what comes of it.

        With `function` an input is its arguments (a list or tuple) or its only argument, and what comes is the values;
        a call that failed raises `TaskFailed` in its place, or is that error where `return_exceptions`. Without one, an
        input is the task's standard input (a `str` as it is, anything else as a line of JSON), its arguments with
        `as_args`, or what stands for `{line}` in `args`; what comes is a `Result` each.

        It is one array on the grid, submitted here and now: `inputs` are read to their end, into a temporary file where
        they are many. What comes back is read as it is asked for, in the order of the inputs, or of the ends where not
        `ordered`; neither is ever held as a whole. `progress` draws a bar (default: on a terminal and in a notebook).
        Who stops half way (`close`, an exception, Ctrl-C) cancels the rest.
        """
        return mapped(
            self, source, inputs, asked, function=function, ordered=ordered, as_args=as_args,
            return_exceptions=return_exceptions, progress=progress,
        )  # fmt: skip

    @spelled_out
    def function(self, source: Program, name: str, /, **asked: Unpack[JobOptions]) -> Function:
        """A function of `source` as a callable that runs on the grid: `add(2, 3)`, `add.map(xs, ys)`,
        `add.submit(2, 3)`.

        Arguments and value are what JSON has: numbers, strings, booleans, lists, None. Nothing is sent before a call.
        """
        return Function(self, source, name, asked)

    def job(self, job_id: JobId) -> Job[Result]:
        """The future of a job that was submitted before, here or elsewhere; `"last"` is the newest."""
        return self.follow(self.status(job_id))

    # -- what jobs and results are made with --------------------------------------------------------------------------

    def follow(self, view: views.Job, finish: Callable[[views.Job], T] | None = None) -> Job[T]:
        """A future for a job of this grid; `finish` makes its result out of the finished job (default: a `Result`)."""
        job: Job[T] = Job(self, view, finish or self.result_of_job)  # type: ignore[arg-type] # then T is Result
        if view.done:
            job.ended(view)
        else:
            self._watching().add(job)
        return job

    def ended(self, spec: JobSpec, blobs: Mapping[str, Blob]) -> views.Job:
        """The job of a request once it has ended: one call, where it is soon over."""
        job = self.perform(steps.begin(spec, blobs, wait_s=SOON_S))
        if job.done:
            return job
        endings.warn(job)
        return self.perform(steps.outlast(job.id))

    def result_of_job(self, job: views.Job) -> Result:
        """What a finished job came to; raises `BuildFailed` where its source does not compile."""
        self.perform(endings.built(job))
        return Result(self, job) if job.result is None else self.result_of(job, job.result)

    def result_of(self, job: views.Job, task: views.Result) -> Result:
        """What one task of a job came to, its output whole."""
        return Result(self, job, task, **self.perform(endings.whole(task)))

    def _watching(self) -> Watcher:
        with self._lock:
            if self._watcher is None:
                self._watcher = Watcher(self)
            return self._watcher

    # -- single calls -------------------------------------------------------------------------------------------------

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
        """All attempts of a job that ended, by task, oldest first. An array's that gave a result are in `tasks`."""
        found: list[views.Attempt] = []
        cursor: str | None = None
        while True:
            page = self.send(calls.attempts(job_id, cursor=cursor))
            found += page.attempts
            cursor = page.next_cursor
            if cursor is None:
                return found

    def timeline(self, job_id: JobId, *, index: int | None = None) -> looks.Timeline:
        """When each stage of a job (or of one task of an array) began and ended, and its attempts."""
        return self.send(looks.timeline(job_id, index=index))

    def task_map(self, job_id: JobId, *, cells: int = 2000) -> looks.TaskMap:
        """An array at one glance: states and durations in at most `cells` cells, a histogram, failures in groups."""
        return self.send(looks.task_map(job_id, cells=cells))

    def overview(self) -> Overview:
        """The grid at one glance: jobs by state, queue, workers, success rate, and a quarter of an hour as a series."""
        return self.send(calls.overview())

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

    def jobs(
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
    ) -> Iterator[views.Job]:
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
            page = self.send(ask(cursor=cursor))
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
