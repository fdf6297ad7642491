"""Why a task does not run: reasons per worker, and the smallest change that would fit."""

from __future__ import annotations

import msgspec

from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.matching import amount, compare, gpus_wanted, mismatches, number
from wasmgrid.scheduling.scheduler import Scheduler
from wasmgrid.scheduling.shape import Shape

__all__ = ["Why", "WorkerWhy", "explain", "mismatches"]


class WorkerWhy(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's answer. `mismatches` is empty where it fits now.

    `busy`: it could take it, but not now. `change` is what would make it fit there: flags of the request, or a command;
    None where nothing of that kind would, or nothing but time is needed.
    """

    worker_id: str
    mismatches: list[str]
    busy: bool = False
    change: str | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task waits, in one sentence and per worker."""

    reason: str
    workers: list[WorkerWhy] = []


def explain(shape: Shape, scheduler: Scheduler, now: float, *, most: int | None = None) -> Why:
    """Why a task of `shape` is not running now.

    It looks at every worker, which costs some 10 us each; or at the `most` that are nearest to taking it, which is
    enough for a reason.
    """
    pool = scheduler.pool
    pool.now = now
    infos = pool.infos() if most is None or len(pool) <= most else pool.nearest(shape, most)
    answers = [_worker_why(shape, scheduler, info) for info in infos]
    return Why(reason=_reason(shape, scheduler, answers), workers=answers)


def _worker_why(shape: Shape, scheduler: Scheduler, info: WorkerInfo) -> WorkerWhy:
    pool = scheduler.pool
    never = mismatches(shape, info)
    remaining_s = pool.remaining_s(info.id)
    if shape.time_limit_s > remaining_s:
        never.append(f"may run for {_seconds(shape.time_limit_s)}, it leaves in {_seconds(remaining_s)}")
    if never:
        return WorkerWhy(worker_id=info.id, mismatches=never, change=_change(shape, info, remaining_s))
    closed = pool.closed(info.id)
    if closed:
        held = "cordoned" in closed or "quarantined" in closed
        change = f"wasmgrid uncordon {info.id}" if held else None
        return WorkerWhy(worker_id=info.id, mismatches=[closed], busy=True, change=change)
    busy = _taken(shape, scheduler, info) or _kept(shape, scheduler, info)
    return WorkerWhy(worker_id=info.id, mismatches=busy, busy=bool(busy))


def _taken(shape: Shape, scheduler: Scheduler, info: WorkerInfo) -> list[str]:
    """What the tasks there have of what is needed."""
    pool = scheduler.pool
    busy = [
        f"needs {amount(name, wanted)}, {amount(name, max(free, 0))} free"
        for name, wanted, free in compare(shape.need, pool.free(info.id))
        if wanted > free
    ]
    if not busy and not scheduler.gpus_free(info.id, shape) >= shape.need.gpus:
        busy = [f"needs {gpus_wanted(shape)}, {scheduler.gpus_free(info.id, shape)} of them free"]
    return busy


def _kept(shape: Shape, scheduler: Scheduler, info: WorkerInfo) -> list[str]:
    """For whom the worker's room is kept, where that is not for this shape."""
    task = scheduler.kept_for(info.id, shape)
    return [] if task is None else [f"held free for {'job' if task.kind == 'run' else 'build'} {task.id}"]


def _reason(shape: Shape, scheduler: Scheduler, answers: list[WorkerWhy]) -> str:
    if not answers:
        return "no worker has joined this grid; start one: wasmgrid worker"
    if any(not answer.mismatches for answer in answers):
        return "about to be assigned"
    kept_at, wait_s = scheduler.place_kept(shape) or ("", 0.0)
    waiting = [answer for answer in answers if answer.busy]
    if waiting:
        first = min(waiting, key=lambda answer: (answer.worker_id != kept_at, answer.change is not None))
        promise = f"; held free for it, at most {_seconds(wait_s)} more" if first.worker_id == kept_at else ""
        command = f"; to let it take tasks: {first.change}" if first.change else ""
        return f"waiting for {first.worker_id}: {first.mismatches[0]}{promise}{command}"
    nearest = min(answers, key=lambda answer: (answer.change is None, len(answer.mismatches)))
    more = len(scheduler.pool) - 1
    others = f" (and {more} more {'does' if more == 1 else 'do'} not fit)" if more else ""
    fix = f"; it would fit {with_change(nearest.change)}" if nearest.change else ""
    return f"no worker fits: {nearest.worker_id}: {'; '.join(nearest.mismatches)}{others}{fix}"


def with_change(change: str) -> str:
    """`change` behind "it would fit": with these flags, without those."""
    return change if change.startswith("without ") else f"with {change}"


def _change(shape: Shape, info: WorkerInfo, remaining_s: float) -> str | None:
    """The flags that would make `shape` fit on the idle worker, or None where no change of the request would."""
    roomy = msgspec.structs.replace(shape, need=Resources(), require=(), gpu_model=None, gpu_memory_mb=0)
    if mismatches(roomy, info) or remaining_s <= 0:
        return None
    flags = [
        f"--{'cpus' if name == 'milli_cpus' else name.replace('_', '-')} {number(name, has)}"
        for name, wanted, has in compare(shape.need, info.capacity)
        if wanted > has
    ]
    flags += _gpu_change(shape, info)
    flags += [
        f"--require {key}={info.labels[key]}" if key in info.labels else f"without --require {key}={value}"
        for key, value in shape.require
        if info.labels.get(key) != value
    ]
    if shape.time_limit_s > remaining_s:
        flags.append(f"--time-limit {int(remaining_s)}s")
    return " ".join(flags) or None


def _gpu_change(shape: Shape, info: WorkerInfo) -> list[str]:
    """What the request should say of GPUs, so that the worker's would do."""
    count = min(shape.need.gpus, len(info.gpus))
    if not count or not mismatches(_gpus_only(shape, count, shape.gpu_model, shape.gpu_memory_mb), info):
        return []
    memory_mb = sorted((gpu.memory_mb for gpu in info.gpus), reverse=True)[count - 1]
    less_memory = min(shape.gpu_memory_mb, memory_mb)
    tries = [
        (shape.gpu_model, less_memory, [f"--gpu-memory-mb {less_memory}"]),
        (info.gpus[0].model, shape.gpu_memory_mb, [f"--gpu-model '{info.gpus[0].model}'"]),
        (None, shape.gpu_memory_mb, ["without --gpu-model"]),
        (None, less_memory, [f"--gpu-memory-mb {less_memory}", "without --gpu-model"]),
    ]
    return next(
        flags for model, memory, flags in tries if not mismatches(_gpus_only(shape, count, model, memory), info)
    )


def _gpus_only(shape: Shape, count: int, model: str | None, memory_mb: int) -> Shape:
    return Shape(need=Resources(gpus=count), toolchain=shape.toolchain, gpu_model=model, gpu_memory_mb=memory_mb)


def _seconds(seconds: float) -> str:
    return f"{max(seconds, 0.0):.0f} s"
