"""Which worker is best for a task, of those that it fits: one score over all of them, the smaller the better."""

from __future__ import annotations

from typing import Literal

import numpy as np

from wasmgrid.scheduling.groups import Group
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.vectors import GPUS, Floats, Slots

Policy = Literal["best_fit", "spread"]

# Each outweighs all below it: the fit is a sum of five parts of a worker, at most 5.
UNPREPARED = 1e9  # per worker whose toolchain must be installed first
PREFERRED = 1e5  # per preferred label
SPENDS_GPU = 1e3  # a GPU worker for a task without
MODULE = 1e2  # the task's module is ready there
RUNNING = 1e-6  # per running task
CHANCE = 1e-9  # between equals
_HASH = np.uint64(0x9E3779B97F4A7C15)


def scores(pool: Pool, group: Group, rows: Slots, *, module: str, policy: Policy, salt: int) -> Floats:
    """The score of each of `rows` for the group's tasks; `salt` (any int) decides between equals."""
    left = (pool.room[:, rows] - group.need.vector[:, None]) / np.maximum(pool.capacity[:, rows], 1)
    fit: Floats = left.sum(axis=0)
    score = fit if policy == "best_fit" else -fit
    score += UNPREPARED * (pool.prepared.table[rows, group.prepared] == 0)
    score -= PREFERRED * pool.preferred.table[rows, group.preferred]
    if not group.shape.need.gpus:
        score += SPENDS_GPU * (pool.capacity[GPUS, rows] > 0)
    if module:
        score -= MODULE * pool.among(pool.modules.ready.get(module, ()))[rows]
    return score + RUNNING * pool.running[rows] + CHANCE * _noise(rows, salt)


def _noise(rows: Slots, salt: int) -> Floats:
    """A number in 0..1 for each row, the same for the same salt."""
    mixed = (rows.astype(np.uint64) + np.uint64(salt & 0xFFFFFFFF)) * _HASH
    mixed ^= mixed >> np.uint64(29)
    return ((mixed * _HASH) >> np.uint64(40)).astype(np.float64) / float(1 << 24)
