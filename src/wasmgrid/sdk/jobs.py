"""A submitted job as a future: its result, its end, its live output."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.sdk import calls, steps, views
from wasmgrid.sdk.servers import AWAY

if TYPE_CHECKING:
    from wasmgrid.sdk.client import Client

T = TypeVar("T")


class Job(Future[T], Generic[T]):
    """A job on the grid. A `concurrent.futures.Future`: `result(timeout)`, `exception(timeout)`, `done()`,
    `add_done_callback(fn)`, and it can be given to `concurrent.futures.wait` and `as_completed`.

    `result()` is a `Result` (of a function's call its value) whatever exit code there was; it raises `BuildFailed`,
    `concurrent.futures.CancelledError`, `TimeoutError` after `timeout` seconds (the job goes on), or `Unreachable`
    where the server was gone for 30 seconds. All jobs of a client are waited for by one thread over one connection.
    """

    def __init__(self, client: Client, view: views.Job, finish: Callable[[views.Job], T]) -> None:
        super().__init__()
        self._client = client
        self._finish = finish
        self.id: int = view.id
        """The job's number."""
        self.name: str = view.name
        """What it is called."""
        self.warnings: list[str] = view.warnings
        """What the server said at its submission, for a person."""

    def cancel(self) -> bool:
        """Ask for the job's end; False where it is over already. Soon after the job is done, and `cancelled()`."""
        if self.done():
            return False
        job = self._client.cancel(self.id)
        return job is None or not job.done or job.state == JobState.CANCELLED

    def running(self) -> bool:
        """Whether a task of it runs now; asks the server."""
        return not self.done() and self.status().state == JobState.RUNNING

    def status(self) -> views.Job:
        """The job as it is now: `state`, `state_reason`, `counts`, `build`, ..."""
        return self._client.status(self.id)

    def why(self) -> views.Why:
        """Why it waits: per worker the mismatches, and the smallest change that would fit."""
        return self._client.why(self.id)

    def logs(self, *, stream: str | None = None, index: int | None = None, follow: bool = True) -> Iterator[str]:
        """Lines of output as they come (without their ends), from the beginning to the job's end.

        `stream` is `"stdout"` or `"stderr"` (both, where it is None), `index` says which task of an array;
        without `follow` it ends with what is there. Lines are whole; it goes on where it was after a lost connection.
        """
        lines = Lines(stream)
        patience = steps.Patience(self.id)
        while not lines.over:
            try:
                for chunk in self._client.stream(calls.logs(self.id, follow=follow, after=lines.after, index=index)):
                    patience.heard()
                    yield from lines.of(chunk)
            except AWAY as error:
                time.sleep(patience.after(error).seconds)
                continue
            if not lines.over and follow:
                time.sleep(steps.PAUSE_S)  # the server stops, or the reader was slow
            lines.over = lines.over or not follow
        yield from lines.rest()

    def ended(self, end: views.Job | BaseException) -> None:
        """The watcher says how it ended; for nobody else."""
        with suppress(InvalidStateError):
            try:
                if isinstance(end, BaseException):
                    raise end
                if end.state == JobState.CANCELLED:
                    if super().cancel():
                        self.set_running_or_notify_cancel()
                    return
                self.set_result(self._finish(end))
            except Exception as error:  # noqa: BLE001 -- a future tells whatever happened
                self.set_exception(error)

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self.done() else "unfinished"
        return f"<Job {self.id}{f' ({self.name})' if self.name else ''}: {state}>"


class Lines:
    """Whole lines out of the chunks of two streams; `after` is where to go on, `over` whether the job has ended."""

    def __init__(self, stream: str | None = None) -> None:
        wanted = [stream] if stream else ["stdout", "stderr"]
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in wanted}
        self._rest = dict.fromkeys(wanted, "")
        self.after = ""
        self.over = False

    def of(self, chunk: calls.LogChunk) -> list[str]:
        """The lines that `chunk` completes."""
        self.after = chunk.id or self.after
        if chunk.stream == "end":
            self.over = chunk.state in FINISHED
        if chunk.stream == "restart":  # another attempt says everything again
            return self.rest()
        if chunk.stream not in self._rest:
            return []
        text = self._rest[chunk.stream] + self._decoders[chunk.stream].decode(chunk.data)
        *lines, self._rest[chunk.stream] = text.split("\n")
        return lines

    def rest(self) -> list[str]:
        """What has no end, at the end."""
        rest = [text for text in self._rest.values() if text]
        self._rest = dict.fromkeys(self._rest, "")
        return rest
