"""A few bytes of shared memory in which a runner says what runs now, since when, and what it has used so far.

The agent reads it to time each attempt by its guest's own start, and to know of an attempt that it has to kill what
nobody else could tell any more.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

from wasmgrid.runner.frames import IO

NAME = f"{IO}/cell"
_LAYOUT, _ATTEMPT = struct.Struct("<qqddq"), struct.Struct("<q")
SIZE = _LAYOUT.size


class Running(NamedTuple):
    """The task, when it started (monotonic), its cpu seconds and peak memory as of its being stopped."""

    attempt: int
    task_index: int
    started: float
    cpu_s: float
    peak_bytes: int


class Cell:
    """The runner's side, which writes."""

    def __init__(self) -> None:
        with open(NAME, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)

    def write(self, attempt: int, index: int, started: float, cpu_s: float = 0.0, peak_bytes: int = 0) -> None:
        """What runs now."""
        _LAYOUT.pack_into(self._memory, 0, attempt, index, started, cpu_s, peak_bytes)

    def clear(self) -> None:
        """Nothing of a guest's runs now."""
        _ATTEMPT.pack_into(self._memory, 0, 0)


def read(box: Path, attempt: int) -> Running | None:
    """The agent's side: what the runner of `box` runs of `attempt`; None where no guest of it runs now."""
    try:
        running = Running(*_LAYOUT.unpack((box / NAME).read_bytes()))
    except (OSError, struct.error):
        return None
    return running if running.attempt == attempt else None
