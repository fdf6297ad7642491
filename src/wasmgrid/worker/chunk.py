"""A chunk that is ready to run, from its first task to its last, or until the rest of it is given back."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import RunWork
from wasmgrid.worker.attempt import Attempt
from wasmgrid.worker.lines import LineFile
from wasmgrid.worker.results import Cost, Results, is_large
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import Current, RangeReport, RunnerChunk, RunnerReport

PATIENCE_SLICES = 2  # a task that outlives so much of a chunk's meant length keeps nobody waiting behind it
_HALTED_S = 0.02  # a runner hears of it within a millisecond or two, while a guest runs as well
_NO_RUN = Outcome(kind=OutcomeKind.LOST, message="its runner died before it began")


class ChunkRun:
    """One attempt's chunk among the runners. What comes of its tasks goes to `one` as it comes."""

    def __init__(
        self,
        runners: Runners,
        results: Results,
        one: Attempt,
        work: RunWork,
        *,
        chunk: RunnerChunk,
        cost: Cost,
        lines: LineFile | None,
    ) -> None:
        self._runners = runners
        self._results = results
        self._one = one  # what is left of it in the end goes back
        self._work = work
        self._chunk = chunk
        self._cost = cost
        self._lines = lines
        self._uploads: set[asyncio.Task[None]] = set()
        self._look: asyncio.TimerHandle | None = None
        self._last: Current | None = None

    async def run(self) -> None:
        """Return when every task has its result, or no more of them may begin. Cancelling this kills the runner.

        Raises `InvalidField` where a task has no line, `Unavailable` and OSError where no runner can have it.
        """
        one = self._one
        one.runs = True
        one.advance("running", started_at=time.time())
        if one.several:
            self._look_in(PATIENCE_SLICES * self._work.slice_s)
        try:
            await self._run_tasks()
            if self._uploads:
                await asyncio.gather(*self._uploads)
        finally:
            one.runs = False
            if self._look is not None:
                self._look.cancel()
            for upload in self._uploads:
                upload.cancel()
            if self._uploads:
                await asyncio.gather(*self._uploads, return_exceptions=True)

    async def _run_tasks(self) -> None:
        """In one runner, and where that dies under a task, those behind it in the next."""
        one = self._one
        rest = one.left.runs()
        while rest and not one.halted:
            first, count = rest.pop(0)
            not_begun = await self._runners.run_chunk(self._part(first, count), self._heard)
            if not_begun == [(first, count)] and not one.halted:
                one.end([self._results.refused(one.id, self._work, first, _NO_RUN)])
                return
            rest = [*not_begun, *rest]

    def _part(self, first: int, count: int) -> RunnerChunk:
        tasks = self._chunk.tasks
        if self._lines is not None and self._work.lines is not None:
            lines = self._lines.cut(first, count)
            tasks = replace(tasks, first=first, count=count, lines=lines, use=self._work.lines.use)
        elif (tasks.first, tasks.count) != (first, count):
            tasks = replace(tasks, first=first, count=count)
        return self._chunk if tasks is self._chunk.tasks else replace(self._chunk, tasks=tasks)

    def _heard(self, reports: list[RunnerReport], ranges: list[RangeReport]) -> None:
        small = []
        for report in reports:
            if is_large(report):
                self._uploads.add(asyncio.get_running_loop().create_task(self._upload(report)))
                continue
            small.append(self._results.small(report, self._work, self._cost))
            if report.outcome.kind is not OutcomeKind.EXITED:  # what it left half-way may be there all the same
                self._runners.release((report.attempt, report.index))
        calls = [self._results.of_calls(part, self._work, self._cost) for part in ranges]
        if small or calls:
            self._one.end(small, calls)

    async def _upload(self, report: RunnerReport) -> None:
        try:
            result = await self._results.large(report, self._work, self._cost)
        finally:
            self._runners.release((report.attempt, report.index))
        self._one.end([result])

    # ---- nobody waits behind a task that takes long

    def _look_in(self, delay_s: float) -> None:
        self._look = asyncio.get_running_loop().call_later(delay_s, self._look_at_clock)

    def _look_at_clock(self) -> None:
        one, patience_s = self._one, PATIENCE_SLICES * self._work.slice_s
        current = self._runners.current(one.id)
        if one.halted:
            self._look_at_halted(current)
            return
        left_s = patience_s if current is None else current.started + patience_s - time.monotonic()
        if left_s > 0:
            self._look_in(left_s)
            return
        one.halted = True
        self._runners.halt(one.id)
        self._look_in(_HALTED_S)

    def _look_at_halted(self, current: Current | None) -> None:
        """The runner has heard it by now: the task that runs is the last, where it is the one that ran before."""
        before, self._last = self._last, current
        if current is None or current != before:
            self._look_in(_HALTED_S)
        else:
            self._one.give_back(_behind(self._one.left.runs(), current.index))


def _behind(runs: list[Run], index: int) -> list[Run]:
    """Those of the tasks in `runs` that come after `index`."""
    cut = [(max(first, index + 1), first + count) for first, count in runs]
    return [(first, end - first) for first, end in cut if first < end]
