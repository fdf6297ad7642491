"""Resources as vectors, in the order of `NAMES`: what numpy compares and what Python adds up."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wasmgrid.core.resources import NAMES, Resources

Vector = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Slots = NDArray[np.intp]

KINDS = len(NAMES)
GPUS = NAMES.index("gpus")
IMPOSSIBLE = 1 << 60  # more than any worker has
FEW = 16  # rows and columns of an empty table


class Need(NamedTuple):
    """One request, both ways."""

    vector: Vector
    numbers: tuple[int, ...]


@lru_cache(maxsize=4096)
def need_of(resources: Resources) -> Need:
    """`resources` as a vector that nobody may change."""
    numbers = tuple(getattr(resources, name) for name in NAMES)
    vector = np.array(numbers, dtype=np.int64)
    vector.flags.writeable = False
    return Need(vector, numbers)


def resources_of(vector: Vector) -> Resources:
    """The vector as a person reads it."""
    return Resources(**dict(zip(NAMES, vector.tolist(), strict=True)))
