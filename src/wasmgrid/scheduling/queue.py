"""What waits: runs of consecutive tasks of a job, oldest first within a group. An array of a million is one entry."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

import msgspec

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.groups import Group, Groups, Key
from wasmgrid.scheduling.pool import Pool


class Run(msgspec.Struct, order=True, gc=False):
    """The tasks `first` .. `first + count - 1` of a job. One that is over has a `count` of 0.

    Runs are compared by their leading fields: age, then index. Within a group's heap a run's `first` may rise, because
    no other run of that job has an index in between.
    """

    order: int
    first: int
    serial: int
    count: int
    slot: int
    job: int
    kind: str
    module: str

    @property
    def end(self) -> int:
        """The first index after it."""
        return self.first + self.count


class Queue:
    """Waiting tasks. `order` is a task's place by age: the smaller goes first, also when it comes back."""

    def __init__(self, pool: Pool) -> None:
        self.groups = Groups(pool)
        self._runs: dict[tuple[str, int], Run | list[Run]] = {}  # a list where a job has several, by index
        self._chunks: dict[tuple[str, int], int] = {}
        self._length = 0
        self._serial = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, task: TaskId) -> bool:
        return self._find(task) is not None

    def push(self, task: TaskId, *, key: Key, order: int, module: str, count: int) -> int | None:
        """Add tasks; those that wait already stay where they are. Gives the slot of a group that was empty before."""
        began = None
        for first, end in self._gaps(task, task.index + count):
            slot = self.groups.find(key)
            group = self.groups[slot] if slot is not None else self.groups.add(key)
            if slot is None:
                began = group.slot
            self._add(group, task, order=order, module=module, first=first, end=end)
        return began

    def chunk(self, task: TaskId, size: int) -> None:
        """How many tasks of this job go together."""
        if size > 1:
            self._chunks[task.kind, task.id] = size
        else:
            self._chunks.pop((task.kind, task.id), None)

    def remove(self, task: TaskId, count: int = 1) -> list[Group]:
        """Take out those of `count` tasks that wait; the groups that are empty now."""
        emptied: list[Group] = []
        first, end = task.index, task.index + count
        known = self._runs.get((task.kind, task.id), [])
        runs = [known] if isinstance(known, Run) else list(known)
        if count == 1:
            runs = [run for run in [self._find(task)] if run is not None]
        for run in runs:
            low, high = max(first, run.first), min(end, run.end)
            if low < high:
                group = self.groups[run.slot]
                self._cut(group, run, task, low, high)
                if self._settle(group):
                    emptied.append(group)
        return emptied

    def _cut(self, group: Group, run: Run, task: TaskId, low: int, high: int) -> None:
        """Take `low` .. `high - 1` out of the run, which has them."""
        end = run.end
        self._length -= high - low
        if low == run.first:
            run.first, run.count = high, end - high
            if not run.count:
                self._forget(run, task)
            return
        run.count = low - run.first
        if high < end:
            self._length -= end - high  # `_add` counts them again
            self._add(group, task, order=run.order, module=run.module, first=high, end=end)

    def head(self, group: Group) -> Run:
        """The oldest run of a group that waits."""
        return group.runs[0]

    def pop(self, group: Group) -> tuple[TaskId, int]:
        """Take the oldest task of a group that waits, and as many after it as go together with it."""
        run = group.runs[0]
        task = TaskId(run.kind, run.job, run.first)
        count = min(run.count, self._chunks.get((run.kind, run.job), 1))
        run.first += count
        run.count -= count
        self._length -= count
        if not run.count:
            self._forget(run, task)
            self._settle(group)
        return task, count

    def tasks(self) -> Iterator[TaskId]:
        """Everything that waits, unordered."""
        for run in self.runs():
            yield from (TaskId(run.kind, run.job, index) for index in range(run.first, run.end))

    def runs(self) -> Iterator[Run]:
        """The same, as runs."""
        for known in self._runs.values():
            yield from [known] if isinstance(known, Run) else known

    def _add(self, group: Group, task: TaskId, *, order: int, module: str, first: int, end: int) -> None:
        self._length += end - first
        key = (task.kind, task.id)
        known = self._runs.get(key)
        runs = [known] if isinstance(known, Run) else known or []
        place = bisect_right(runs, first, key=_first)
        before = runs[place - 1] if place else None
        if before is not None and (before.end, before.slot, before.order, before.module) == (
            *(first, group.slot, order, module),
        ):
            before.count += end - first
            return
        self._serial += 1
        run = Run(order, first, self._serial, end - first, group.slot, task.id, task.kind, module)
        heapq.heappush(group.runs, run)
        self.groups.age[group.slot] = group.runs[0].order
        runs.insert(place, run)
        self._runs[key] = runs if len(runs) > 1 else run

    def _settle(self, group: Group) -> bool:
        """Bring the group's head up to date; whether the group is empty, and gone with that."""
        runs = group.runs
        while runs and not runs[0].count:
            heapq.heappop(runs)
        if runs:
            self.groups.age[group.slot] = runs[0].order
            return False
        self.groups.drop(group)
        return True

    def _find(self, task: TaskId) -> Run | None:
        known = self._runs.get((task.kind, task.id))
        if isinstance(known, list):
            place = bisect_right(known, task.index, key=_first) - 1
            known = known[place] if place >= 0 else None
        return known if known is not None and known.first <= task.index < known.end else None

    def _forget(self, run: Run, task: TaskId) -> None:
        """The run is over: its job has one fewer."""
        run.serial = 0  # in its heap it stays before a run that begins where it ended
        key = (task.kind, task.id)
        known = self._runs[key]
        if isinstance(known, Run):
            del self._runs[key]
            return
        place = bisect_right(known, run.first, key=_first) - 1
        while known[place] is not run:  # an empty run may begin where the next one does
            place -= 1
        del known[place]
        if len(known) == 1:
            self._runs[key] = known[0]

    def _gaps(self, task: TaskId, end: int) -> Iterator[tuple[int, int]]:
        """The parts of `task.index` .. `end - 1` that do not wait yet."""
        start, known = task.index, self._runs.get((task.kind, task.id), [])
        if end == start + 1:
            known = [run for run in [self._find(task)] if run is not None]
        for run in [known] if isinstance(known, Run) else list(known):
            if run.end <= start or run.first >= end:
                continue
            if start < run.first:
                yield start, run.first
            start = max(start, run.end)
        if start < end:
            yield start, end


_first = attrgetter("first")
