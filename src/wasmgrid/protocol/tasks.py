"""The tasks that are not over, the attempts that workers hold of them, and what heartbeats say about those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wasmgrid.core.job import TaskId
from wasmgrid.core.wire import Assign
from wasmgrid.scheduling.shape import Shape


@dataclass(slots=True)
class Task:
    """One task. It waits (no `attempt`), is held by a worker, or is `settling`: its result is being committed.

    `withheld`: a worker may hold it from before the take-over, so it is not dispatched yet.
    """

    id: TaskId
    shape: Shape
    priority: int
    order: int
    queued_at: float
    withheld: bool = False
    settling: bool = False
    attempt: int | None = None
    worker_id: str = ""
    assign: Assign | None = None  # None where the attempt was adopted
    assigned_at: float = 0.0
    phase: str = ""
    detail: str = ""
    crashes: int = 0
    tries: int = 0


class Tasks:
    """All tasks by id and by the attempt that is current for each."""

    def __init__(self) -> None:
        self._by_id: dict[TaskId, Task] = {}
        self._by_worker: dict[str, dict[int, Task]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._by_id.values()))

    def get(self, task_id: TaskId) -> Task | None:
        """The task, or None where it is over or was never there."""
        return self._by_id.get(task_id)

    def add(self, task: Task) -> None:
        """A task begins."""
        self._by_id[task.id] = task

    def drop(self, task: Task) -> None:
        """A task is over."""
        self.release(task)
        self._by_id.pop(task.id, None)

    def hold(self, task: Task, *, attempt: int, worker_id: str, assign: Assign | None, now: float) -> None:
        """`attempt` at `worker_id` is now the current one of `task`."""
        self.release(task)
        task.attempt, task.worker_id, task.assign, task.assigned_at = attempt, worker_id, assign, now
        task.phase, task.detail, task.withheld = "assigned", "", False
        self._by_worker.setdefault(worker_id, {})[attempt] = task

    def release(self, task: Task) -> None:
        """No worker holds `task` any more."""
        if task.attempt is not None:
            self._by_worker.get(task.worker_id, {}).pop(task.attempt, None)
        task.attempt, task.worker_id, task.assign, task.phase, task.detail = None, "", None, "", ""

    def held_by(self, worker_id: str) -> list[Task]:
        """The tasks whose current attempt is at this worker."""
        return list(self._by_worker.get(worker_id, {}).values())
