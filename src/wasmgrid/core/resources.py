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

    # Field by field: these stand in the leader's loop, where going by name cost four times as much.

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            milli_cpus=self.milli_cpus + other.milli_cpus,
            memory_mb=self.memory_mb + other.memory_mb,
            disk_mb=self.disk_mb + other.disk_mb,
            gpus=self.gpus + other.gpus,
            slots=self.slots + other.slots,
        )

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            milli_cpus=self.milli_cpus - other.milli_cpus,
            memory_mb=self.memory_mb - other.memory_mb,
            disk_mb=self.disk_mb - other.disk_mb,
            gpus=self.gpus - other.gpus,
            slots=self.slots - other.slots,
        )

    def fits_in(self, free: Resources) -> bool:
        """Whether every one of these is there."""
        return (
            self.milli_cpus <= free.milli_cpus
            and self.memory_mb <= free.memory_mb
            and self.disk_mb <= free.disk_mb
            and self.gpus <= free.gpus
            and self.slots <= free.slots
        )


NAMES = Resources.__struct_fields__


def milli(cpus: float) -> int:
    """Cpus as a person writes them (0.5, 2) in milli-cpus, rounded up: a request never shrinks to nothing."""
    return math.ceil(round(cpus * 1000, 3))
