"""A submitted job to await, and the one task that waits for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.lifecycle import JobState
from wasmgrid.sdk import calls, steps, views
from wasmgrid.sdk.awaited import EARLY_S, GATHER_S, Awaited
from wasmgrid.sdk.failures import ClientClosed
from wasmgrid.sdk.jobs import Lines
from wasmgrid.sdk.servers import AWAY

if TYPE_CHECKING:
    from wasmgrid.sdk.async_client import AsyncClient

T = TypeVar("T")

BRIEF_S = 1.0  # what ends within it is one request; what does not is waited for with all the others


class AsyncJob(Generic[T]):
    """A job on the grid. `await job` gives its result: an `AsyncResult`, of a function's call its value.

    It raises what `Job.result` raises, `asyncio.CancelledError` where the job was cancelled. Any number of tasks may
    await it; who is cancelled while waiting leaves the job alone (`cancel()` ends it).
    """

    def __init__(self, client: AsyncClient, view: views.Job, finish: Callable[[views.Job], Awaitable[T]]) -> None:
        self._client = client
        self._finish = finish
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.id: int = view.id
        """The job's number."""
        self.name: str = view.name
        """What it is called."""
        self.warnings: list[str] = view.warnings
        """What the server said at its submission, for a person."""

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.shield(self._future).__await__()

    async def result(self, timeout: float | None = None) -> T:  # noqa: ASYNC109 -- as futures have it
        """The same, raising `TimeoutError` after `timeout` seconds; the job goes on."""
        return await asyncio.wait_for(asyncio.shield(self._future), timeout)

    def done(self) -> bool:
        """Whether it is over."""
        return self._future.done()

    def cancelled(self) -> bool:
        """Whether it is over because somebody cancelled it."""
        return self._future.cancelled()

    def add_done_callback(self, callback: Callable[[AsyncJob[T]], object]) -> None:
        """Call `callback(job)` in the event loop once it is over."""
        self._future.add_done_callback(lambda _: callback(self))

    async def cancel(self) -> bool:
        """Ask for the job's end; False where it is over already. Soon after the job is done, and `cancelled()`."""
        if self.done():
            return False
        job = await self._client.cancel(self.id)
        return job is None or not job.done or job.state == JobState.CANCELLED

    async def status(self) -> views.Job:
        """The job as it is now: `state`, `state_reason`, `counts`, `build`, ..."""
        return await self._client.status(self.id)

    async def why(self) -> views.Why:
        """Why it waits: per worker the mismatches, and the smallest change that would fit."""
        return await self._client.why(self.id)

    async def logs(
        self, *, stream: str | None = None, index: int | None = None, follow: bool = True
    ) -> AsyncIterator[str]:
        """Lines of output as they come; see `Job.logs`."""
        lines = Lines(stream)
        patience = steps.Patience(self.id)
        while not lines.over:
            call = calls.logs(self.id, follow=follow, after=lines.after, index=index)
            try:
                async with aclosing(self._client.stream(call)) as chunks:
                    async for chunk in chunks:
                        patience.heard()
                        for line in lines.of(chunk):
                            yield line
            except AWAY as error:
                await asyncio.sleep(patience.after(error).seconds)
                continue
            if not lines.over and follow:
                await asyncio.sleep(steps.PAUSE_S)  # the server stops, or the reader was slow
            lines.over = lines.over or not follow
        for line in lines.rest():
            yield line

    async def ended(self, end: views.Job | WasmgridError) -> None:
        """The watcher says how it ended; for nobody else."""
        if self._future.done():
            return
        if isinstance(end, views.Job) and end.state == JobState.CANCELLED:
            self._future.cancel()
            return
        try:
            if isinstance(end, WasmgridError):
                raise end
            self._future.set_result(await self._finish(end))
        except WasmgridError as error:
            self._future.set_exception(error)
            self._future.exception()  # a job that nobody awaits may fail without a word

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self.done() else "unfinished"
        return f"<AsyncJob {self.id}{f' ({self.name})' if self.name else ''}: {state}>"


class Ending:
    """The end of a job as the server has it, for whoever makes something of it."""

    def __init__(self, job_id: int) -> None:
        self.id = job_id
        self.future: asyncio.Future[views.Job] = asyncio.get_running_loop().create_future()

    async def ended(self, end: views.Job | WasmgridError) -> None:
        """The watcher says how it ended."""
        if self.future.done():
            return
        if isinstance(end, WasmgridError):
            self.future.set_exception(end)
        else:
            self.future.set_result(end)


class AsyncWatcher:
    """Tells each job of its end: one task and one connection for all, as `watcher.Watcher` is one thread."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._awaited: Awaited[AsyncJob[Any] | Ending] = Awaited()
        self._task: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[Any] | None = None
        self._closed = False

    def add(self, job: AsyncJob[Any] | Ending, view: views.Job) -> None:
        """Wait for this one, too; or tell it at once, where it is over."""
        if self._closed:
            raise ClientClosed("the client is closed", hint="make another one")
        if view.done:
            self._tell(job, view)
            return
        self._awaited.add(job.id, job)
        if self._asking is not None:
            self._asking.cancel()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="wasmgrid: waiting for jobs")

    async def close(self) -> None:
        """Wait for nothing any more: whoever still waits is told that the client was closed."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(ClientClosed("the client was closed before the job ended", hint="the job goes on"))
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _run(self) -> None:
        patience = steps.Patience()
        loop = asyncio.get_running_loop()
        while self._awaited:
            began = loop.time()
            self._asking = asyncio.create_task(self._client.send(self._awaited.question()))
            try:
                await asyncio.wait([self._asking])
            finally:
                asking, self._asking = self._asking, None
                asking.cancel()
            if asking.cancelled():
                await asyncio.sleep(max(0.0, began + GATHER_S - loop.time()))
                continue
            try:
                answer = asking.result()
            except AWAY as error:
                await self._patiently(patience, error)
            except WasmgridError as error:
                self._fail(error)
            else:
                patience.heard()
                ended = list(self._awaited.heard(answer))
                for job, end in ended:
                    self._tell(job, end)
                if not ended and loop.time() - began < EARLY_S:
                    await asyncio.sleep(steps.PAUSE_S)  # the server is about to stop

    async def _patiently(self, patience: steps.Patience, error: WasmgridError) -> None:
        try:
            pause = patience.after(error)
        except WasmgridError as given_up:
            self._fail(given_up)
            patience.heard()
        else:
            await asyncio.sleep(pause.seconds)

    def _fail(self, error: WasmgridError) -> None:
        for job in self._awaited.give_up():
            self._tell(job, error)

    def _tell(self, job: AsyncJob[Any] | Ending, end: views.Job | WasmgridError) -> None:
        with suppress(RuntimeError):  # the loop is closing
            task = asyncio.create_task(job.ended(end))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
