"""An attempt as its runner has it: what runs of it, what has not begun, and its results as they travel."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from wasmgrid.core.job import Stats, TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome
from wasmgrid.core.wire import Held, RunWork, Work


@dataclass(slots=True)
class Begun:
    """A task's time in its runner, as it was decided when it began; `noted`: the ledger knows of its start."""

    index: int
    starts_at: float
    ends_at: float
    outcome: Outcome
    missing: bool = False
    noted: bool = False


@dataclass(slots=True)
class Run:
    """A runner at work on an attempt: of a build, or of tasks of which those from `next` to `end` have not begun.

    `step`: those that are begun in this step, the one that runs first. `stopping` once it was told to end.
    """

    attempt: int
    work: Work
    next: int
    end: int
    step: deque[Begun] = field(default_factory=deque)
    ended: list[TaskResult] = field(default_factory=list)  # not handed over yet
    stopping: bool = False
    crashes_at: int | None = None
    missing: bool = False

    @property
    def running(self) -> int | None:
        """The index that runs now."""
        return self.step[0].index if self.step and self.step[0].noted else None

    @property
    def held(self) -> Held:
        """As the worker tells it, and its start log keeps it."""
        work = self.work
        if isinstance(work, RunWork):
            return Held(
                attempt=self.attempt,
                kind="run",
                id=work.job_id,
                index=work.first,
                count=work.count,
                running=self.running,
                gpus=work.gpus,
            )
        return Held(attempt=self.attempt, kind="build", id=work.build_id)


def joined(results: list[TaskResult]) -> tuple[list[TaskResult], list[TaskRange]]:
    """Consecutive calls of a function that succeeded travel as one."""
    parts: list[list[TaskResult]] = []
    for result in results:
        last = parts[-1][-1] if parts else None
        if last is not None and last.index + 1 == result.index and None not in {last.return_value, result.return_value}:
            parts[-1].append(result)
        else:
            parts.append([result])
    return [part[0] for part in parts if len(part) == 1], [_range(part) for part in parts if len(part) > 1]


def _range(results: list[TaskResult]) -> TaskRange:
    first, last = results[0], results[-1]
    wall_ms = sum(result.stats.wall_ms for result in results) / len(results)
    return TaskRange(
        job_id=first.job_id,
        first=first.index,
        count=len(results),
        attempt=first.attempt,
        worker_id=first.worker_id,
        outcome=first.outcome,
        values="\n".join(result.return_value or "" for result in results).encode(),
        stats=Stats(wall_ms=wall_ms, module_cached=True),
        started_at=first.started_at,
        finished_at=last.finished_at,
    )
