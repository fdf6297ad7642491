"""One attempt that a worker holds: how far it is, and what came of its tasks that its leader was not told yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.core.ranges import Ranges, Run
from wasmgrid.core.wire import Held, RunWork, Work


class News(NamedTuple):
    """What came of an attempt since it was last asked; `ended` are the tasks of `results` and `ranges`."""

    results: list[TaskResult]
    ranges: list[TaskRange]
    ended: list[Run]
    rest: list[Run]  # not begun, and will not run here


class Attempt:
    """`left` are its tasks that neither ended nor were given back; of a build, the one that it is."""

    __slots__ = (
        "_ended",
        "_on_news",
        "_ranges",
        "_rest",
        "_results",
        "cancelled",
        "detail",
        "halted",
        "id",
        "left",
        "phase",
        "returned",
        "runs",
        "started_at",
        "task",
        "told",
        "work",
    )

    def __init__(self, attempt: int, work: Work, on_news: Callable[[Attempt], None]) -> None:
        """`on_news` is called whenever there is something to `take`."""
        self.id = attempt
        self.work = work
        self.left = Ranges([(work.first, work.count)] if isinstance(work, RunWork) else [(0, 1)])
        self.phase, self.detail = "starting", ""
        self.started_at: float | None = None
        self.told: tuple[object, ...] | None = None  # how far its leader knows it to be
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False  # somebody wishes that it ends
        self.halted = False  # no more of its tasks begin
        self.runs = False  # a runner has it
        self.returned: list[Run] = []  # all that was ever given back
        self._on_news = on_news
        self._results: list[TaskResult] = []
        self._ranges: list[TaskRange] = []
        self._ended: list[Run] = []
        self._rest: list[Run] = []

    @property
    def several(self) -> bool:
        """Whether it was given more than one task."""
        return isinstance(self.work, RunWork) and self.work.count > 1

    def held(self) -> Held:
        """What it is, for the history."""
        if isinstance(self.work, RunWork):
            work = self.work
            return Held(attempt=self.id, kind="run", id=work.job_id, index=work.first, gpus=work.gpus, count=work.count)
        return Held(attempt=self.id, kind="build", id=self.work.build_id)

    def advance(self, phase: str, detail: str = "", started_at: float | None = None) -> None:
        """It is in a new phase; `started_at`: when it began to run, in seconds since 1970."""
        self.phase, self.detail, self.started_at = phase, detail, started_at or self.started_at

    def end(self, results: list[TaskResult], ranges: Iterable[TaskRange] = ()) -> None:
        """Tasks of it ended."""
        ended = _runs(results)
        ended += [(one.first, one.count) for one in ranges]
        for first, count in ended:
            self.left.discard(first, count)
        self._results += results
        self._ranges += ranges
        self._ended += ended
        self._on_news(self)

    def give_back(self, rest: Iterable[Run]) -> None:
        """Tasks of it were not begun, and will not be."""
        for first, count in rest:
            if self.left.discard(first, count):
                self._rest.append((first, count))
                self.returned.append((first, count))
        self._on_news(self)

    def take(self) -> News | None:
        """What came of it since the last time; None where nothing did."""
        if not self._ended and not self._rest:
            return None
        news = News(self._results, self._ranges, self._ended, self._rest)
        self._results, self._ranges, self._ended, self._rest = [], [], [], []
        return news


def _runs(results: list[TaskResult]) -> list[Run]:
    """Their indexes; most follow the one before."""
    runs: list[Run] = []
    first, after = 0, -1
    for result in results:
        if result.index != after:
            if after >= 0:
                runs.append((first, after - first))
            first = result.index
        after = result.index + 1
    if after >= 0:
        runs.append((first, after - first))
    return runs
