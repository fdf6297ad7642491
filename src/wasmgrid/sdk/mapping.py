"""A program or function over many inputs: one array on the grid, what comes of it as an iterator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from wasmgrid.core.errors import NotFound, WasmgridError
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.sdk import endings, inputs, options, steps, views
from wasmgrid.sdk.failures import TaskFailed
from wasmgrid.sdk.feed import Feed, Quietly
from wasmgrid.sdk.program import Program
from wasmgrid.sdk.progress import Shown, drawn
from wasmgrid.sdk.results import Result
from wasmgrid.sdk.taskviews import Ended

if TYPE_CHECKING:
    from wasmgrid.sdk.client import Client
    from wasmgrid.sdk.jobs import Job

T = TypeVar("T")


class Mapped(Iterator[T], Generic[T]):
    """What comes of each input, as it is asked for; `len()` says of how many.

    A `for` over it ends with the array; `close()`, leaving its `with`, an exception or Ctrl-C in the middle cancels
    what has not run. `job_id` is the array's number (None where there were no inputs).
    """

    def __init__(self, client: Client, job: views.Job | None, results: Iterator[tuple[int, T]]) -> None:
        self._client = client
        self._job = job
        self._results = results  # nothing of it leads back here: who lets go of this ends it

    @property
    def job_id(self) -> int | None:
        """The array's number."""
        return self._job.id if self._job is not None else None

    @property
    def job(self) -> Job[Result] | None:
        """The array as a future of its own, for `why()`, `status()`, `cancel()`."""
        return self._client.follow(self._job) if self._job is not None else None

    def __len__(self) -> int:
        return self._job.task_count if self._job is not None else 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._results)[1]

    def numbered(self) -> Iterator[tuple[int, T]]:
        """The same, each with the number of its input (from 0): for whoever has them in no order."""
        return self._results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more, and cancel what has not run."""
        if hasattr(self._results, "close"):
            self._results.close()

    def __repr__(self) -> str:
        return f"<Mapped: {len(self):,} tasks" + (f" of job {self.job_id}>" if self._job is not None else ">")


class _Reader:
    """Makes an array's results into what is given on."""

    def __init__(self, client: Client, job: views.Job, *, values: bool, errors: bool) -> None:
        self._client = client
        self._job = job
        self._values = values
        self._errors = errors  # whether failures are given on, not raised

    def all(self, shown: Shown, *, ordered: bool) -> Iterator[tuple[int, Any]]:
        """(number of its input, what came of it), until the array's end; whoever stops before cancels it."""
        job = self._job
        feed = Feed(Quietly(self._client, job.id), job.id, inputs.results(job.id, values=self._values))
        whole = False
        try:
            with shown, inputs.Sorted(job, ordered=ordered) as pieces:
                for burst in feed.bursts():
                    shown.add(len(burst))
                    for text in pieces.take(burst):
                        yield self._made(text)
                for text in pieces.rest():
                    yield self._made(text)
                whole = True
        finally:
            if not whole:
                with suppress(WasmgridError):
                    self._client.cancel(job.id)

    def _made(self, text: bytes) -> tuple[int, Any]:
        if self._values:
            index, value, failed = inputs.value_of(text)
            return index, value if failed is None else self._failed(failed)
        task = inputs.task_of(text)
        if task.outcome == OutcomeKind.BUILD_FAILED:
            self._not_built()
        return task.index, self._client.result_of(self._job, task)

    def _failed(self, ended: Ended) -> TaskFailed:
        if ended.outcome == OutcomeKind.BUILD_FAILED:
            self._not_built()
        task = inputs.as_result(self._job.id, ended)
        if self._errors:
            return TaskFailed(Result(self._client, self._job, task))
        with suppress(NotFound):
            task = self._client.task(self._job.id, ended.index)
        raise TaskFailed(self._client.result_of(self._job, task))

    def _not_built(self) -> None:
        self._client.perform(endings.built(self._client.wait(self._job.id)))


def mapped(
    client: Client,
    source: Program,
    every: Iterable[Any],
    asked: Mapping[str, Any],
    *,
    function: str | None,
    ordered: bool,
    as_args: bool,
    return_exceptions: bool,
    progress: bool | None,
) -> Mapped[Any]:
    """Submit the array; see `Client.map`."""
    options.check(asked)
    lines = inputs.given(every, function=function, as_args=as_args, args=asked.get("args") or ())
    if lines is None:
        return Mapped(client, None, iter(()))
    made = options.request(source, asked, function=function, lines=lines)
    spec = steps.keyed(made.spec)
    try:
        job = client.submit_spec(spec, made.blobs)
    except (KeyboardInterrupt, SystemExit):
        client.perform(steps.abandon(spec))
        raise
    endings.warn(job)
    reader = _Reader(client, job, values=function is not None, errors=return_exceptions)
    return Mapped(client, job, reader.all(drawn(job.task_count, progress), ordered=ordered))
