"""A program or function over many inputs, as an async iterator; and a function of a source to await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from wasmgrid.core.errors import ModuleNotFound, NotFound
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.sdk import endings, feed, inputs, options, steps, views
from wasmgrid.sdk.failures import TaskFailed
from wasmgrid.sdk.functions import Called
from wasmgrid.sdk.prepare import Prepared
from wasmgrid.sdk.program import Program
from wasmgrid.sdk.progress import drawn
from wasmgrid.sdk.results import AsyncResult
from wasmgrid.sdk.servers import AWAY
from wasmgrid.sdk.taskviews import Ended, Line

if TYPE_CHECKING:
    from wasmgrid.sdk.async_client import AsyncClient
    from wasmgrid.sdk.async_jobs import AsyncJob

T = TypeVar("T")


class AsyncMapped(AsyncIterator[T], Generic[T]):
    """What comes of each input, as it is asked for.

    `aclose()`, leaving its `async with`, or the client's end in the middle cancels what has not run.
    """

    def __init__(self, results: AsyncGenerator[T, None]) -> None:
        self._results = results  # nothing of it leads back here: who lets go of this ends it

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self._results.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more, and cancel what has not run."""
        await self._results.aclose()


class _Reader:
    """Submits an array and makes its results into what is given on."""

    def __init__(self, client: AsyncClient, *, values: bool, errors: bool) -> None:
        self._client = client
        self._values = values
        self._errors = errors  # whether failures are given on, not raised

    async def all(
        self, made: Callable[[], Prepared | None], *, ordered: bool, progress: bool | None
    ) -> AsyncGenerator[Any, None]:
        """What came of each input of the request that `made()` makes (None: there are none)."""
        prepared = await asyncio.to_thread(made)
        if prepared is None:
            return
        spec = steps.keyed(prepared.spec)
        key = spec.idempotency_key or ""
        self._client.maps[key] = spec
        whole = False
        try:
            job = await self._client.submit_spec(spec, prepared.blobs)
            endings.warn(job)
            with drawn(job.task_count, progress) as shown, inputs.Sorted(job, ordered=ordered) as pieces:
                async with aclosing(self._bursts(job)) as bursts:
                    async for burst in bursts:
                        shown.add(len(burst))
                        for text in pieces.take(burst):
                            yield await self._made(job, text)
                for text in pieces.rest():
                    yield await self._made(job, text)
            whole = True
        finally:
            del self._client.maps[key]
            if not whole:
                await self._client.perform(steps.abandon(spec))

    async def _bursts(self, job: views.Job) -> AsyncGenerator[list[Line], None]:
        call = inputs.results(job.id, values=self._values)
        seen = feed.Position()
        patience = steps.Patience(job.id)
        while True:
            try:
                async with aclosing(self._client.bursts(call(seen.after))) as bursts:
                    async for some in bursts:
                        patience.heard()
                        yield seen.new(some)
                if seen.over(await self._client.status(job.id)):
                    return
            except AWAY as error:
                await asyncio.sleep(patience.after(error).seconds)
                continue
            await asyncio.sleep(steps.PAUSE_S)  # the server ended the stream early

    async def _made(self, job: views.Job, text: bytes) -> Any:
        if self._values:
            _, value, failed = inputs.value_of(text)
            return value if failed is None else await self._failed(job, failed)
        task = inputs.task_of(text)
        if task.outcome == OutcomeKind.BUILD_FAILED:
            await self._not_built(job)
        return await self._client.result_of(job, task)

    async def _failed(self, job: views.Job, ended: Ended) -> TaskFailed:
        if ended.outcome == OutcomeKind.BUILD_FAILED:
            await self._not_built(job)
        task = inputs.as_result(job.id, ended)
        if self._errors:
            return TaskFailed(AsyncResult(self._client, job, task))
        with suppress(NotFound):
            task = await self._client.task(job.id, ended.index)
        raise TaskFailed(await self._client.result_of(job, task))

    async def _not_built(self, job: views.Job) -> None:
        await self._client.perform(endings.built(await self._client.wait(job.id)))


def mapped(
    client: AsyncClient,
    source: Program,
    every: Iterable[Any],
    asked: Mapping[str, Any],
    *,
    function: str | None,
    ordered: bool,
    as_args: bool,
    return_exceptions: bool,
    progress: bool | None,
) -> AsyncMapped[Any]:
    """The array, submitted at the first step; see `AsyncClient.map`."""
    options.check(asked)

    def made() -> Prepared | None:
        lines = inputs.given(every, function=function, as_args=as_args, args=asked.get("args") or ())
        return options.request(source, asked, function=function, lines=lines) if lines is not None else None

    reader = _Reader(client, values=function is not None, errors=return_exceptions)
    return AsyncMapped(reader.all(made, ordered=ordered, progress=progress))


class AsyncFunction(Called):
    """`name` of `source`, called on the grid: `await f(2, 3)`; `AsyncClient.function` makes it. See `Function`."""

    def __init__(self, client: AsyncClient, source: Program, name: str, asked: Mapping[str, Any]) -> None:
        super().__init__(source, name, asked)
        self._client = client

    async def __call__(self, *args: Any) -> Any:
        """What the function returns for these arguments; who cancels this cancels the job."""
        made = self.request(args)
        spec = steps.keyed(made.spec)
        try:
            job = await self._client.ended(spec, made.blobs)
        except ModuleNotFound:  # it was removed since
            if not self.forget():
                raise
            return await self(*args)
        except asyncio.CancelledError:
            await self._client.perform(steps.abandon(spec))
            raise
        return await self._value(job)

    async def submit(self, *args: Any) -> AsyncJob[Any]:
        """The same call as a job to await."""
        made = self.request(args)
        try:
            view = await self._client.submit_spec(made.spec, made.blobs)
        except ModuleNotFound:
            if not self.forget():
                raise
            return await self.submit(*args)
        endings.warn(view)
        return self._client.follow(view, self._value)

    def map(self, *iterables: Iterable[Any], **how: Any) -> AsyncMapped[Any]:
        """An async iterator over `f(x, y, ...)` for the first elements of all `iterables`, the second, and so on."""
        return self.starmap(zip(*iterables, strict=False), **how)

    def starmap(self, every: Iterable[Iterable[Any]], **how: Any) -> AsyncMapped[Any]:
        """An async iterator over `f(*args)` for each element of `every`."""
        calls = (list(args) for args in every)
        return self._client.map(self.program, calls, function=self.__name__, **{**self.asked, **how})

    async def _value(self, job: views.Job) -> Any:
        self.learn(job)
        return (await self._client.result_of_job(job)).check().return_value
