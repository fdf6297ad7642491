"""The attempts that workers hold: each is a chunk, one task or several of a job that run one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wasmgrid.core.job import TaskId
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import Assign
from wasmgrid.scheduling.shape import Shape


@dataclass(slots=True, eq=False)
class Chunk:
    """One attempt at one worker. It is over once it has neither tasks `left` nor `settling`.

    `left` are its tasks without a result, `settling` those whose results are on their way into the store. `anchor` is
    the id by which the scheduler knows what it takes of the worker, as long as it `has_room`. `assign` is None where it
    was adopted from an earlier leader. `running` is the task that runs, as far as the worker said.
    """

    anchor: TaskId
    attempt: int
    worker_id: str
    left: set[int]
    shape: Shape
    assigned_at: float
    assign: Assign | None = None
    gpus: tuple[int, ...] = ()
    has_room: bool = True
    phase: str = "assigned"
    detail: str = ""
    running: int | None = None
    settling: set[int] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """run or build."""
        return self.anchor.kind

    @property
    def id(self) -> int:
        """The job's number, or the build's."""
        return self.anchor.id

    def has_ended(self, index: int) -> bool:
        """Whether its worker is done with this task, as far as it said: they run in the order of their indexes."""
        return self.phase == "finished" or (self.running is not None and index < self.running)

    @property
    def over(self) -> bool:
        """Whether all of it has been written, or taken from it."""
        return not self.left and not self.settling


class Chunks:
    """Every attempt that is not over, by its id, by worker, and by job or build."""

    def __init__(self) -> None:
        self._by_attempt: dict[int, Chunk] = {}
        self._by_worker: dict[str, dict[int, Chunk]] = {}
        self._by_owner: dict[tuple[str, int], dict[int, Chunk]] = {}

    def __len__(self) -> int:
        return len(self._by_attempt)

    def get(self, attempt: int) -> Chunk | None:
        """The chunk of this attempt, or None where it is over or was never there."""
        return self._by_attempt.get(attempt)

    def add(self, chunk: Chunk) -> None:
        """A worker holds it from now on."""
        self._by_attempt[chunk.attempt] = chunk
        self._by_worker.setdefault(chunk.worker_id, {})[chunk.attempt] = chunk
        self._by_owner.setdefault((chunk.kind, chunk.id), {})[chunk.attempt] = chunk

    def drop(self, chunk: Chunk) -> None:
        """It is over."""
        if self._by_attempt.pop(chunk.attempt, None) is None:
            return
        for index, key in ((self._by_worker, chunk.worker_id), (self._by_owner, (chunk.kind, chunk.id))):
            held: dict[int, Chunk] = index[key]  # type: ignore[index]
            del held[chunk.attempt]
            if not held:
                del index[key]  # type: ignore[arg-type]

    def held_by(self, worker_id: str) -> list[Chunk]:
        """The attempts at this worker."""
        return list(self._by_worker.get(worker_id, {}).values())

    def of(self, kind: str, number: int) -> list[Chunk]:
        """The attempts at the tasks of this job, or at this build."""
        return list(self._by_owner.get((kind, number), {}).values())

    def holding(self, kind: str, number: int) -> int:
        """How many of them still have a task left."""
        return sum(1 for chunk in self._by_owner.get((kind, number), {}).values() if chunk.left)


def runs_of(indexes: Iterable[int]) -> Iterator[Run]:
    """Indexes in any order as runs (first, how many)."""
    first = end = -1
    for index in sorted(indexes):
        if index == end:
            end += 1
            continue
        if end > first:
            yield first, end - first
        first, end = index, index + 1
    if end > first:
        yield first, end - first


def within(indexes: set[int], runs: Iterable[Run]) -> set[int]:
    """Those of `indexes` that are in the runs, however large these are."""
    found: set[int] = set()
    for first, count in runs:
        found.update(index for index in indexes if first <= index < first + count)
    return found
