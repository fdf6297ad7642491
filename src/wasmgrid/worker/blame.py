"""Which task ran when a worker was killed: its runners had it in their boxes, which outlive them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from wasmgrid.core.wire import Held
from wasmgrid.runner import cell


def blamed(died: Sequence[Held], boxes: Path) -> list[Held]:
    """`died` with the task that ran, where one of several did. To be read before `boxes` is cleared for a new life."""
    return [one if one.running is not None else replace(one, running=_running(one, boxes)) for one in died]


def _running(one: Held, boxes: Path) -> int | None:
    for box in boxes.glob("r*"):
        running = cell.read(box, one.attempt)
        if running is not None and one.index <= running.task_index < one.index + one.count:
            return running.task_index
    return None
