"""What a task asks for and a worker has. Integers throughout: sums of floats drift."""

from __future__ import annotations

import math

import msgspec


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """A request, or a capacity, or what is free of one. 1 MB = 2^20 bytes; 1000 milli-cpus are one cpu.

    `slots` is how many runners a worker may have at once (a task takes one).
    """

    milli_cpus: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    gpus: int = 0
    slots: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(**{name: getattr(self, name) + getattr(other, name) for name in NAMES})

    def __sub__(self, other: Resources) -> Resources:
        return Resources(**{name: getattr(self, name) - getattr(other, name) for name in NAMES})

    def fits_in(self, free: Resources) -> bool:
        """Whether every one of these is there."""
        return all(getattr(self, name) <= getattr(free, name) for name in NAMES)


NAMES = Resources.__struct_fields__


def milli(cpus: float) -> int:
    """Cpus as a person writes them (0.5, 2) in milli-cpus, rounded up: a request never shrinks to nothing."""
    return math.ceil(round(cpus * 1000, 3))
