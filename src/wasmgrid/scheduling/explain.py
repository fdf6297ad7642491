"""Why a task does not run: reasons per worker, and the smallest change that would fit."""

from __future__ import annotations

import msgspec

from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.scheduler import Scheduler
from wasmgrid.scheduling.shape import Shape


class WorkerWhy(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's answer. `mismatches` is empty where it fits now; `change` is the request that would fit, or None."""

    worker_id: str
    mismatches: list[str]
    busy: bool = False
    change: str | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task waits, in one sentence and per worker."""

    reason: str
    workers: list[WorkerWhy] = []


def mismatches(shape: Shape, info: WorkerInfo) -> list[str]:
    """Why the worker could not take `shape` even when idle; empty means it could."""
    reasons = [
        f"needs {_amount(name, wanted)}, it has {_amount(name, has)}"
        for name, wanted, has in _compare(shape.need, info.capacity)
        if wanted > has
    ]
    reasons += [
        f"needs the label {key}={value}, it has {key}={info.labels[key]}"
        if key in info.labels
        else f"needs the label {key}={value}, it has no {key}"
        for key, value in shape.require
        if info.labels.get(key) != value
    ]
    if shape.toolchain is None and info.builds_only:
        reasons.append("it only builds")
    if shape.toolchain and all(toolchain.identity != shape.toolchain for toolchain in info.toolchains):
        reasons.append(f"it has no toolchain {shape.toolchain}")
    return reasons


def explain(shape: Shape, scheduler: Scheduler, now: float) -> Why:  # noqa: ARG001
    """Why a task of `shape` is not running now."""
    pool = scheduler.pool
    answers = [_worker_why(shape, pool, info) for info in pool.infos()]
    return Why(reason=_reason(answers), workers=answers)


def _worker_why(shape: Shape, pool: Pool, info: WorkerInfo) -> WorkerWhy:
    never = mismatches(shape, info)
    if never:
        return WorkerWhy(worker_id=info.id, mismatches=never, change=_change(shape, info))
    closed = pool.closed(info.id)
    if closed:
        return WorkerWhy(worker_id=info.id, mismatches=[closed], busy=True)
    busy = [
        f"needs {_amount(name, wanted)}, {_amount(name, max(free, 0))} free"
        for name, wanted, free in _compare(shape.need, pool.free(info.id))
        if wanted > free
    ]
    return WorkerWhy(worker_id=info.id, mismatches=busy, busy=bool(busy))


def _reason(answers: list[WorkerWhy]) -> str:
    if not answers:
        return "no worker has joined this grid; start one: wasmgrid worker"
    if any(not answer.mismatches for answer in answers):
        return "about to be assigned"
    waiting = [answer for answer in answers if answer.busy]
    if waiting:
        return f"waiting for {waiting[0].worker_id}: {waiting[0].mismatches[0]}"
    first = answers[0]
    others = f" (and {len(answers) - 1} more do not fit)" if len(answers) > 1 else ""
    fix = f"; {first.change} would fit" if first.change else ""
    return f"no worker fits: {first.worker_id}: {'; '.join(first.mismatches)}{others}{fix}"


def _change(shape: Shape, info: WorkerInfo) -> str | None:
    """The flags that would make `shape` fit on the idle worker, or None where no change of resources would."""
    if mismatches(msgspec.structs.replace(shape, need=Resources()), info):
        return None
    flags = [
        f"--{'cpus' if name == 'milli_cpus' else name.replace('_', '-')} {_number(name, has)}"
        for name, wanted, has in _compare(shape.need, info.capacity)
        if wanted > has
    ]
    return " ".join(flags) or None


def _compare(need: Resources, has: Resources) -> list[tuple[str, int, int]]:
    return [(name, getattr(need, name), getattr(has, name)) for name in Resources.__struct_fields__]


def _amount(name: str, value: int) -> str:
    words = {"milli_cpus": "cpus", "memory_mb": "MB of memory", "disk_mb": "MB of disk", "gpus": "gpus"}
    return f"{_number(name, value)} {words.get(name, 'runner slots')}"


def _number(name: str, value: int) -> str:
    return f"{value / 1000:g}" if name == "milli_cpus" else str(value)
