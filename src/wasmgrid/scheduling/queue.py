"""What waits: tasks grouped by shape and priority, oldest first within a group."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.shape import Shape

Group = tuple[Shape, int]
Entry = tuple[int, TaskId]


class Queue:
    """Waiting tasks. `order` is a task's place by age: the smaller goes first, also when it comes back."""

    def __init__(self) -> None:
        self._groups: dict[Group, list[Entry]] = {}
        self._where: dict[TaskId, Group] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, task: TaskId) -> bool:
        return task in self._where

    def push(self, task: TaskId, *, shape: Shape, priority: int, order: int) -> None:
        """Add a task; one that already waits stays where it is."""
        if task in self._where:
            return
        group = (shape, priority)
        self._where[task] = group
        heapq.heappush(self._groups.setdefault(group, []), (order, task))

    def remove(self, task: TaskId) -> bool:
        """Take a task out; False where it did not wait. Its heap entry goes when it comes up."""
        return self._where.pop(task, None) is not None

    def pop(self, group: Group) -> TaskId:
        """Take the oldest task of `group`, which must have one."""
        _, task = heapq.heappop(self._groups[group])
        del self._where[task]
        return task

    def head(self, group: Group) -> Entry | None:
        """The oldest waiting task of `group`, or None; an empty group disappears."""
        entries = self._groups.get(group, [])
        while entries and self._where.get(entries[0][1]) != group:
            heapq.heappop(entries)
        if entries:
            return entries[0]
        self._groups.pop(group, None)
        return None

    def heads(self) -> Iterator[tuple[int, int, Group]]:
        """(minus priority, order, group) of every group that has something waiting; unordered."""
        for group in list(self._groups):
            head = self.head(group)
            if head is not None:
                yield -group[1], head[0], group

    def tasks(self) -> Iterator[TaskId]:
        """Everything that waits, unordered."""
        return iter(self._where)
