"""What tasks hold of workers, and when their time limits give it back at the latest."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.vectors import Need, Vector


class Held(msgspec.Struct, gc=False):
    """What one task holds of the worker in `row`, until `ends_at` by its time limit."""

    row: int
    need: Need
    tenant: int
    gpus: tuple[int, ...]
    ends_at: float

    def due_at(self, now: float) -> float:
        """When it will be over. One that is late already is expected to be late for as long again."""
        return self.ends_at if self.ends_at > now else now + (now - self.ends_at) + 1.0


class Running:
    """What every task holds, by task and by row."""

    def __init__(self) -> None:
        self._held: dict[TaskId, Held] = {}
        self._at: dict[int, dict[TaskId, Held]] = {}

    def __contains__(self, task: TaskId) -> bool:
        return task in self._held

    def add(self, task: TaskId, held: Held) -> None:
        """The task, which held nothing, holds this."""
        self._held[task] = held
        at = self._at.get(held.row)
        if at is None:
            at = self._at[held.row] = {}
        at[task] = held

    def pop(self, task: TaskId) -> Held | None:
        """What the task held, which it does no more; None where it held nothing."""
        held = self._held.pop(task, None)
        if held is not None:
            del self._at[held.row][task]
        return held

    def clear(self, row: int) -> list[Held]:
        """What tasks held of the worker in that row, which is gone."""
        gone = self._at.pop(row, {})
        for task in gone:
            del self._held[task]
        return list(gone.values())

    def at(self, row: int) -> Iterable[Held]:
        """What tasks hold of the worker in that row."""
        return self._at.get(row, {}).values()

    def room_at(self, pool: Pool, row: int, when: float) -> Vector:
        """What will be free in that row at `when`, if nothing more is placed there."""
        room = pool.room[:, row].copy()
        for held in self.at(row):
            if held.due_at(pool.now) <= when:
                room += held.need.vector
        return room
