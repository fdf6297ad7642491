"""What the workers have free, as vectors: feasibility and rank over all of them are a few numpy operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wasmgrid.core.resources import NAMES, Resources
from wasmgrid.core.worker import WorkerInfo, gpu_matches
from wasmgrid.scheduling.shape import Shape

Vector = NDArray[np.int64]
Mask = NDArray[np.bool_]

_GPUS = NAMES.index("gpus")


def vector(resources: Resources) -> Vector:
    """`resources` in the order of `NAMES`."""
    return np.array([getattr(resources, name) for name in NAMES], dtype=np.int64)


class Pool:
    """The workers that may be given tasks, with what is free of each. Never over-committed by `best`."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._infos: list[WorkerInfo] = []
        self._closed: list[str] = []
        self._gpus_used: list[dict[int, int]] = []
        self._free: Vector = np.zeros((0, len(NAMES)), dtype=np.int64)
        self._capacity: Vector = np.zeros((0, len(NAMES)), dtype=np.int64)
        self._running: Vector = np.zeros(0, dtype=np.int64)
        self._statics: dict[Shape, tuple[Mask, NDArray[np.float64]]] = {}
        self._vectors: dict[Resources, Vector] = {}

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._rows

    def infos(self) -> list[WorkerInfo]:
        """Every worker, in the order in which they joined."""
        return list(self._infos)

    def info(self, worker_id: str) -> WorkerInfo:
        """What the worker says of itself; KeyError where it is not in the pool."""
        return self._infos[self._rows[worker_id]]

    def closed(self, worker_id: str) -> str:
        """Why the worker takes no new tasks; empty where it does."""
        return self._closed[self._rows[worker_id]]

    def gpus_used(self, worker_id: str) -> list[int]:
        """The indexes of the worker's GPUs that tasks have."""
        return sorted(self._gpus_used[self._rows[worker_id]])

    def free_gpus(self, worker_id: str, shape: Shape) -> list[int]:
        """The indexes of the worker's free GPUs that `shape` may use, the smallest first."""
        row = self._rows[worker_id]
        free = [
            gpu
            for gpu in self._infos[row].gpus
            if gpu.index not in self._gpus_used[row]
            and gpu_matches(gpu, model=shape.gpu_model, memory_mb=shape.gpu_memory_mb)
        ]
        return [gpu.index for gpu in sorted(free, key=lambda gpu: (gpu.memory_mb, gpu.index))]

    def free(self, worker_id: str) -> Resources:
        """What is not taken of the worker's capacity; negative where it shrank under its tasks."""
        row = self._free[self._rows[worker_id]]
        return Resources(**{name: int(value) for name, value in zip(NAMES, row, strict=True)})

    def put(self, info: WorkerInfo, *, closed: str = "") -> None:
        """Add a worker, or change what it says of itself; what its tasks take stays taken."""
        capacity = vector(info.capacity)
        row = self._rows.get(info.id)
        if row is None:
            self._rows[info.id] = len(self._infos)
            self._infos.append(info)
            self._closed.append(closed)
            self._gpus_used.append({})
            self._free = np.vstack([self._free, capacity])
            self._capacity = np.vstack([self._capacity, capacity])
            self._running = np.append(self._running, 0)
        else:
            self._free[row] += capacity - self._capacity[row]
            self._capacity[row] = capacity
            self._infos[row] = info
            self._closed[row] = closed
        self._statics.clear()

    def remove(self, worker_id: str) -> None:
        """Take a worker out with all that it held; nothing happens where it is not in the pool."""
        row = self._rows.pop(worker_id, None)
        if row is None:
            return
        del self._infos[row]
        del self._closed[row]
        del self._gpus_used[row]
        self._free = np.delete(self._free, row, axis=0)
        self._capacity = np.delete(self._capacity, row, axis=0)
        self._running = np.delete(self._running, row)
        self._rows = {info.id: index for index, info in enumerate(self._infos)}
        self._statics.clear()

    def take(self, worker_id: str, need: Resources, gpus: tuple[int, ...] = ()) -> None:
        """A task now uses `need` of the worker, these GPUs among it."""
        row = self._rows[worker_id]
        for index in gpus:
            self._gpus_used[row][index] = self._gpus_used[row].get(index, 0) + 1
        self._free[row] -= self._vector(need)
        self._running[row] += 1

    def give_back(self, worker_id: str, need: Resources, gpus: tuple[int, ...] = ()) -> None:
        """A task ended; nothing happens where its worker has left."""
        row = self._rows.get(worker_id)
        if row is not None:
            used = self._gpus_used[row]
            for index in gpus:
                used[index] -= 1
                if not used[index]:
                    del used[index]
            self._free[row] += self._vector(need)
            self._running[row] -= 1

    def best(self, shape: Shape, *, salt: int) -> str | None:
        """The worker that ranks highest among those where `shape` fits now, or None.

        Rank: GPU workers are kept for GPU tasks, then preferred labels, then the tightest fit, then the fewest running;
        `salt` (any int) decides between equals.
        """
        matches, score = self._static(shape)
        left = self._free - self._vector(shape.need)
        rows = np.flatnonzero(matches & (left >= 0).all(axis=1))
        if shape.need.gpus:
            rows = np.array(
                [row for row in rows if len(self.free_gpus(self._infos[row].id, shape)) >= shape.need.gpus],
                dtype=np.int64,
            )
        if rows.size == 0:
            return None
        tightness = (left[rows] / np.maximum(self._capacity[rows], 1)).sum(axis=1)
        scores = score[rows] + tightness + self._running[rows] * 1e-6
        equals = rows[scores <= scores.min() + 1e-12]
        return self._infos[int(equals[salt % equals.size])].id

    def ever_fits(self, shape: Shape) -> bool:
        """Whether some worker would take `shape` when it is idle."""
        matches, _ = self._static(shape)
        return bool((matches & (self._capacity >= self._vector(shape.need)).all(axis=1)).any())

    def _static(self, shape: Shape) -> tuple[Mask, NDArray[np.float64]]:
        """Which workers match `shape` but for what is free, and the part of their rank that does not change."""
        known = self._statics.get(shape)
        if known is None:
            pairs = zip(self._infos, self._closed, strict=True)
            mask = np.array([not closed and label_match(shape, info) for info, closed in pairs], dtype=np.bool_)
            score = np.array([_static_score(shape, info) for info in self._infos], dtype=np.float64)
            known = self._statics[shape] = (mask, score)
        return known

    def _vector(self, need: Resources) -> Vector:
        known = self._vectors.get(need)
        if known is None:
            known = self._vectors[need] = vector(need)
        return known


def label_match(shape: Shape, info: WorkerInfo) -> bool:
    """Whether the worker has what cannot be counted: labels, and the toolchain where the task is a build."""
    if shape.toolchain is None:
        has_role = not info.builds_only
    else:
        has_role = any(toolchain.identity == shape.toolchain for toolchain in info.toolchains)
    return has_role and all(info.labels.get(key) == value for key, value in shape.require)


def _static_score(shape: Shape, info: WorkerInfo) -> float:
    spends_gpu = 1e6 if info.capacity.gpus and not shape.need.gpus else 0.0
    preferred = sum(info.labels.get(key) == value for key, value in shape.prefer)
    ready: Any = shape.toolchain is None or any(
        toolchain.identity == shape.toolchain and toolchain.ready for toolchain in info.toolchains
    )
    return spends_gpu - 1e3 * preferred - (1e4 if ready else 0.0)
