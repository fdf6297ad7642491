"""One attempt at an agent: which of its tasks are open, and the results that are kept until they are acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from wasmgrid.core.job import BuildResult, TaskRange, TaskResult
from wasmgrid.core.ranges import Ranges
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import FRAME_BYTES, Assign, BuildWork, Held, Results, RunWork, Work
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.protocol.chunks import runs_of

RESEND_S = 2.0  # an unanswered result is told again after this, then at growing intervals

Result = TaskResult | TaskRange | BuildResult

_packed = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class HeldAttempt:
    """`open` are its tasks that run or were not begun; `unsettled` are results by their first index.

    Of a range of results `parts` tells which of its tasks are not settled yet.
    """

    held: Held
    need: Resources
    open: set[int]
    unsettled: dict[int, Result] = field(default_factory=dict)
    parts: dict[int, Ranges] = field(default_factory=dict)
    told_at: float = 0.0
    wait_s: float = RESEND_S

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing must be kept."""
        return not self.open and not self.unsettled

    def take(self, results: Sequence[Result]) -> list[Result]:
        """Keep the results of open tasks; those that are new."""
        fresh: list[Result] = []
        for result in results:
            if isinstance(result, TaskRange):
                first, indexes = result.first, range(result.first, result.first + result.count)
                if not self.open.issuperset(indexes):
                    continue
                self.open.difference_update(indexes)
                self.parts[first] = Ranges([(first, result.count)])
            else:
                first = result.index if isinstance(result, TaskResult) else 0
                if first not in self.open:
                    continue
                self.open.discard(first)
            self.unsettled[first] = result
            fresh.append(result)
        return fresh

    def settle(self, first: int, count: int) -> None:
        """The results of these tasks are acknowledged."""
        end = first + count
        for key, left in list(self.parts.items()):
            if key < end and left.discard(first, count) and not left:
                del self.parts[key], self.unsettled[key]
        for index in range(first, end):
            if index in self.unsettled and index not in self.parts:
                del self.unsettled[index]

    def told(self) -> Held:
        """What the leader hears of it."""
        if self.held.count == 1:
            return self.held
        rest = Ranges(runs_of(self.open.union(self.unsettled.keys() - self.parts.keys())))
        for left in self.parts.values():
            for run in left.runs():
                rest.add(*run)
        running = min(self.open) if self.open and self.held.running is not None else self.held.running
        return replace(self.held, rest=rest.runs(), running=running)


def held_of(assign: Assign) -> Held:
    """What the leader will hear of this assignment, once it is taken."""
    work = assign.work
    if isinstance(work, BuildWork):
        return Held(attempt=assign.attempt, kind="build", id=work.build_id)
    return Held(attempt=assign.attempt, kind="run", id=work.job_id, index=work.first, count=work.count, gpus=work.gpus)


def has_room(attempts: Iterable[HeldAttempt], capacity: Resources, work: Work) -> bool:
    """Whether this work can run beside what runs."""
    running = [one for one in attempts if one.open]
    taken = {index for one in running for index in one.held.gpus}
    used = sum((one.need for one in running), Resources())
    wanted = work.gpus if isinstance(work, RunWork) else []
    return taken.isdisjoint(wanted) and (used + work.need).fits_in(capacity)


def messages(results: Iterable[Result], info: WorkerInfo) -> Iterator[Results]:
    """The results as the leader is told of them, in messages that fit."""
    batch: list[Result] = []
    size = 0
    for result in results:
        more = len(_packed(result))
        if batch and size + more > FRAME_BYTES // 2:
            yield _message(batch, info)
            batch, size = [], 0
        batch.append(result)
        size += more
    if batch:
        yield _message(batch, info)


def _message(batch: list[Result], info: WorkerInfo) -> Results:
    return Results(
        worker_id=info.id,
        incarnation=info.incarnation,
        tasks=[one for one in batch if isinstance(one, TaskResult)],
        ranges=[one for one in batch if isinstance(one, TaskRange)],
        builds=[one for one in batch if isinstance(one, BuildResult)],
    )
