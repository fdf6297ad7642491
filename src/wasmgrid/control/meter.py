"""What flows through a leader, counted as it is committed, and a point of it every two seconds, for 15 minutes.

Arrays bring 20,000 results a second: each costs two look-ups in a table of buckets, and a range of results counts at
once. Nothing here is ever decided upon.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from wasmgrid.control import histogram
from wasmgrid.control.histogram import Counts
from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.overview import BuildsView, Series
from wasmgrid.core.ranges import Ranges
from wasmgrid.protocol.state import Counters

STEP_S = 2
POINTS = 450  # 15 minutes
SUCCEEDED = "succeeded"  # stands for `exited` with 0; every other end is counted under its outcome


class Gauge(NamedTuple):
    """What a leader has at one moment."""

    queue_tasks: int
    running_tasks: int
    cpus_used: float
    memory_mb_used: int


class Point(NamedTuple):
    """One step of the series."""

    time: int
    tasks_per_s: float
    gauge: Gauge
    good: int
    ended: int
    wall_ms: tuple[float | None, float | None, float | None]
    queue_ms: tuple[float | None, float | None]


class Durations:
    """Of one kind: those of the step that goes on, and all of them."""

    def __init__(self) -> None:
        self.step = histogram.empty()
        self.all = histogram.empty()
        self.sum_ms = 0.0

    def close(self) -> Counts:
        """The step is over: its counts."""
        step, self.step = self.step, histogram.empty()
        self.all = [one + more for one, more in zip(self.all, step, strict=True)]
        return step

    def so_far(self) -> Counts:
        """All of them, with those of the step that goes on."""
        return [one + more for one, more in zip(self.all, self.step, strict=True)]


class Meter:
    """One server's; it counts while that server leads, and remembers over the terms."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {SUCCEEDED: 0, **{str(kind): 0 for kind in OutcomeKind}}
        self.jobs: dict[JobState, int] = {}  # that ended
        self.builds = self.build_hits = 0
        self.terms = 0
        self._past = Counters()  # of the terms before
        self.wall = Durations()
        self.queue = Durations()
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._good = self._ended = self._any = 0  # in this step; `ended` leaves out what was cancelled
        self._since: float | None = None

    # ---- what happened

    def record(
        self, results: Sequence[TaskResult], ranges: Sequence[TaskRange], refused: Mapping[int, Ranges] | None = None
    ) -> None:
        """These results are committed, but for those that were `refused`."""
        if refused:
            results = [result for result in results if result.index not in refused.get(result.job_id, ())]
            ranges = [part for each in ranges for part in _kept(each, refused.get(each.job_id))]
        outcomes, walls, queues, bucket = self.outcomes, self.wall.step, self.queue.step, histogram.bucket
        exited, wall_sum, queue_sum, good = OutcomeKind.EXITED, 0.0, 0.0, 0
        before = self._cancelled()
        for result in results:
            outcome, stats = result.outcome, result.stats
            if outcome.kind is exited and outcome.exit_code == 0:
                good += 1
            else:
                outcomes[outcome.kind] += 1
            wall_ms, queue_ms = stats.wall_ms, stats.queue_ms or 0.0
            wall_sum += wall_ms
            queue_sum += queue_ms
            walls[bucket(wall_ms)] += 1
            queues[bucket(queue_ms)] += 1
        self.wall.sum_ms += wall_sum
        self.queue.sum_ms += queue_sum
        many = len(results)
        for each in ranges:
            good += self._range(each)
            many += each.count
        outcomes[SUCCEEDED] += good
        self._good += good
        self._any += many
        self._ended += many - (self._cancelled() - before)

    def _cancelled(self) -> int:
        return self.outcomes[OutcomeKind.CANCELLED]

    def _range(self, each: TaskRange) -> int:
        """Count all its tasks at once; how many of them succeeded."""
        if each.attempt:  # else they never ran
            self.wall.step[histogram.bucket(each.stats.wall_ms)] += each.count
            self.queue.step[histogram.bucket(each.stats.queue_ms or 0.0)] += each.count
            self.wall.sum_ms += each.stats.wall_ms * each.count
            self.queue.sum_ms += (each.stats.queue_ms or 0.0) * each.count
        if each.outcome.succeeded:
            return each.count
        self.outcomes[each.outcome.kind] += each.count
        return 0

    def built(self, jobs: int, *, cached: bool) -> None:
        """So many jobs know now what came of their source; `cached`: it had been built before."""
        self.builds += jobs
        self.build_hits += jobs if cached else 0

    def ended(self, states: Iterable[JobState]) -> None:
        """Jobs ended so."""
        for state in states:
            self.jobs[state] = self.jobs.get(state, 0) + 1

    def term_over(self, counters: Counters) -> None:
        """A term is over; so much happened in it."""
        self._past = Counters(**self.counted(counters))

    # ---- what came of it

    def counted(self, counters: Counters | None) -> dict[str, int]:
        """What happened in all terms; `counters` are those of the one that goes on."""
        past = msgspec.structs.asdict(self._past)
        return {name: count + (getattr(counters, name) if counters is not None else 0) for name, count in past.items()}

    def begin(self, now: float) -> None:
        """A term begins: what is counted from now on belongs to its first step."""
        self._since = now
        self._good = self._ended = self._any = 0

    def step(self, gauge: Gauge, *, at: float, now: float) -> None:
        """A step is over: `at` is the time (since 1970), `now` that of a clock which does not go back."""
        elapsed_s = max(now - self._since, 0.1) if self._since is not None else STEP_S
        walls, queues = self.wall.close(), self.queue.close()
        self._points.append(
            Point(
                time=round(at),
                tasks_per_s=round(self._any / elapsed_s, 2),
                gauge=gauge,
                good=self._good,
                ended=self._ended,
                wall_ms=(
                    histogram.quantile(walls, 0.5),
                    histogram.quantile(walls, 0.9),
                    histogram.quantile(walls, 0.99),
                ),
                queue_ms=(histogram.quantile(queues, 0.5), histogram.quantile(queues, 0.99)),
            )
        )
        self.begin(now)

    def success_rate(self) -> float | None:
        """Of the tasks that ended in all steps, how many succeeded; None where none ended."""
        ended = self._ended + sum(point.ended for point in self._points)
        good = self._good + sum(point.good for point in self._points)
        return _share(good, ended)

    def builds_view(self) -> BuildsView:
        """How often what was asked for had been built before."""
        return BuildsView(count=self.builds, hits=self.build_hits, hit_rate=_share(self.build_hits, self.builds))

    def series(self, points: int) -> Series:
        """The newest points."""
        shown = [*self._points][max(0, len(self._points) - points) :]
        return Series(
            step_s=STEP_S,
            times=[point.time for point in shown],
            tasks_per_s=[point.tasks_per_s for point in shown],
            queue_tasks=[point.gauge.queue_tasks for point in shown],
            running_tasks=[point.gauge.running_tasks for point in shown],
            cpus_used=[point.gauge.cpus_used for point in shown],
            memory_mb_used=[point.gauge.memory_mb_used for point in shown],
            success_rate=[_share(point.good, point.ended) for point in shown],
            wall_ms_p50=[point.wall_ms[0] for point in shown],
            wall_ms_p90=[point.wall_ms[1] for point in shown],
            wall_ms_p99=[point.wall_ms[2] for point in shown],
            queue_ms_p50=[point.queue_ms[0] for point in shown],
            queue_ms_p99=[point.queue_ms[1] for point in shown],
        )


def _kept(each: TaskRange, refused: Ranges | None) -> list[TaskRange]:
    """The parts of a range that were not refused."""
    if refused is None:
        return [each]
    runs = Ranges([(each.first, each.count)]).without(refused).runs()
    return [replace(each, first=first, count=count) for first, count in runs]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
