"""Who on this server waits for which job. It outlives every term: who leads may change under those who wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

from wasmgrid.core.job import TaskResult
from wasmgrid.store.rows import FinishedJob

REMEMBERED = 100_000


class End(NamedTuple):
    """How a job of one task ended, as it was committed: what a reader of the store would find now."""

    finished: FinishedJob
    result: TaskResult


class Watcher:
    """One who waits. `changed` is set at every change, `ended` says that the job's end is committed.

    `end` is that end, where it was committed from here while somebody waited; else it is in the store.
    """

    __slots__ = ("_over", "changed", "end", "ended")

    def __init__(self, *, ended: bool) -> None:
        self.changed = asyncio.Event()
        self.ended = ended
        self.end: End | None = None
        self._over: asyncio.Future[None] | None = None

    async def over(self, timeout_s: float) -> None:
        """Return when the job's end is committed, after `timeout_s`, or at `release`."""
        if self.ended:
            return
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        timer = loop.call_later(timeout_s, self.release)
        try:
            await self._over
        finally:
            timer.cancel()

    def share(self, over: asyncio.Future[None]) -> None:
        """Whoever waits for the end of any of several waits for this."""
        self._over = over

    def release(self) -> None:
        """Whoever waits for the end waits no longer."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


async def first_over(watchers: Collection[Watcher], timeout_s: float) -> None:
    """Return when one of these jobs' ends is committed, after `timeout_s`, or at `release`."""
    if any(watcher.ended for watcher in watchers):
        return
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    for watcher in watchers:
        watcher.share(over)
    timer = loop.call_later(timeout_s, next(iter(watchers)).release)
    try:
        await over
    finally:
        timer.cancel()


class Watchers:
    """All who wait for changes of a job, and the jobs that were heard to end of late."""

    def __init__(self) -> None:
        self._of: dict[int, set[Watcher]] = {}
        self._ended: dict[int, None] = {}
        self.released = False

    @contextlib.contextmanager
    def listening(self, job_id: int) -> Iterator[Watcher]:
        """From here on every change of the job is heard."""
        watcher = Watcher(ended=job_id in self._ended)
        watchers = self._of.setdefault(job_id, set())
        watchers.add(watcher)
        try:
            yield watcher
        finally:
            watchers.discard(watcher)
            if not watchers and self._of.get(job_id) is watchers:
                del self._of[job_id]

    def waiting(self) -> list[int]:
        """The jobs that somebody waits for and that are not known to have ended."""
        return [job_id for job_id in self._of if job_id not in self._ended]

    def changed(self, job_id: int) -> None:
        """What is shown of the job is another now."""
        for watcher in self._of.get(job_id, ()):
            watcher.changed.set()

    def committed(self, end: End) -> None:
        """This is how a job ended; `ended` follows."""
        for watcher in self._of.get(end.finished.job_id, ()):
            watcher.end = end

    def ended(self, job_id: int) -> None:
        """The job's end is committed."""
        self._ended[job_id] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        for watcher in self._of.get(job_id, ()):
            watcher.ended = True
            watcher.changed.set()
            watcher.release()

    def has_ended(self, job_id: int) -> bool:
        """Whether the job is one of those that were heard to end of late."""
        return job_id in self._ended

    def wake_all(self) -> None:
        """Anything may have changed: words were lost, or another leads."""
        for job_id in list(self._of):
            self.changed(job_id)

    def release(self) -> None:
        """Nobody waits here any longer: this server stops, and whoever waited asks another."""
        self.released = True
        self.wake_all()
        for watchers in self._of.values():
            for watcher in watchers:
                watcher.release()
