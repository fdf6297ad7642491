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

    `withheld`: a worker may hold it from before the take-over, so it is not dispatched yet. `resting`: it waits for the
    moment of its retry. `failed_at` are the workers where an attempt of it failed, `latest` is the highest attempt that
    this leader knows of: what a worker reports counts only above it.
    """

    id: TaskId
    shape: Shape
    priority: int
    order: int
    tenant: str
    queued_at: float
    module: str = ""
    withheld: bool = False
    resting: bool = False
    settling: bool = False
    attempt: int | None = None
    worker_id: str = ""
    assign: Assign | None = None  # None where the attempt was adopted
    assigned_at: float = 0.0
    phase: str = ""
    detail: str = ""
    gpus: tuple[int, ...] = ()
    crashes: int = 0
    tries: int = 0
    latest: int = 0
    failed_at: frozenset[str] = frozenset()


class Tasks:
    """All tasks by id and by the attempt that is current for each."""

    def __init__(self) -> None:
        self._by_id: dict[TaskId, Task] = {}
        self._by_worker: dict[str, dict[int, Task]] = {}
        self._held_of_job: dict[int, dict[int, Task]] = {}

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

    def hold(
        self,
        task: Task,
        *,
        attempt: int,
        worker_id: str,
        assign: Assign | None,
        now: float,
        gpus: tuple[int, ...] = (),
    ) -> None:
        """`attempt` at `worker_id`, with these GPUs, is now the current one of `task`."""
        self.release(task)
        task.attempt, task.worker_id, task.assign, task.assigned_at = attempt, worker_id, assign, now
        task.latest = max(task.latest, attempt)
        task.phase, task.detail, task.withheld, task.gpus = "assigned", "", False, gpus
        self._by_worker.setdefault(worker_id, {})[attempt] = task
        if task.id.kind == "run":
            self._held_of_job.setdefault(task.id.id, {})[task.id.index] = task

    def release(self, task: Task) -> None:
        """No worker holds `task` any more."""
        if task.attempt is not None:
            self._by_worker.get(task.worker_id, {}).pop(task.attempt, None)
            held = self._held_of_job.get(task.id.id) if task.id.kind == "run" else None
            if held is not None:
                held.pop(task.id.index, None)
                if not held:
                    del self._held_of_job[task.id.id]
        task.attempt, task.worker_id, task.assign, task.phase, task.detail = None, "", None, "", ""
        task.gpus = ()

    def held_by(self, worker_id: str) -> list[Task]:
        """The tasks whose current attempt is at this worker."""
        return list(self._by_worker.get(worker_id, {}).values())

    def held_of(self, job_id: int) -> list[Task]:
        """The tasks of this job that a worker holds, by index."""
        held = self._held_of_job.get(job_id, {})
        return [held[index] for index in sorted(held)]
