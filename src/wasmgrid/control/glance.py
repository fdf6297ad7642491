"""What a leader's memory comes to, in numbers: read-only, and the same cost however many tasks wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from wasmgrid.control.meter import Gauge
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.overview import HeldView, QueueView, Used, WorkersView
from wasmgrid.core.resources import NAMES
from wasmgrid.protocol.state import State

MOST_HELD = 100


def gauge(state: State) -> Gauge:
    """The numbers that are kept for every step."""
    used = _used(state)
    return Gauge(
        queue_tasks=len(state.scheduler.queue),
        running_tasks=len(state.chunks),
        cpus_used=used["milli_cpus"] / 1000,
        memory_mb_used=used["memory_mb"],
    )


def queue(state: State, unbuilt: Mapping[int, float], now: float) -> QueueView:
    """What waits. `unbuilt`: since when each job does whose module is not known yet."""
    return QueueView(tasks=len(state.scheduler.queue), oldest_s=_oldest_s(state, unbuilt, now))


def workers(state: State) -> WorkersView:
    """Who is there, and what of them is taken."""
    states = Counter(lease.state for lease in state.leases.all())
    used = _used(state)
    total = dict(zip(NAMES, state.scheduler.pool.totals, strict=True))
    return WorkersView(
        joined=states["joined"],
        draining=states["draining"],
        cordoned=states["cordoned"],
        quarantined=states["quarantined"],
        unheard=states["unheard"],
        cpus=Used(used=used["milli_cpus"] / 1000, total=total["milli_cpus"] / 1000),
        memory_mb=Used(used=used["memory_mb"], total=total["memory_mb"]),
        gpus=Used(used=used["gpus"], total=total["gpus"]),
        running_tasks=len(state.chunks),
    )


def running_jobs(state: State, worker_id: str | None = None) -> list[int]:
    """The jobs that run (there): among those of which a worker holds a task, for all may be a million."""
    workers = [lease.info.id for lease in state.leases.all()] if worker_id is None else [worker_id]
    chunks = (chunk for worker in workers for chunk in state.chunks.held_by(worker))
    held = {chunk.id for chunk in chunks if chunk.kind == "run"}
    return [job_id for job_id in held if job_id in state.jobs and state.jobs[job_id].state is JobState.RUNNING]


def held(state: State, job_id: int, index: int | None, now: float) -> list[HeldView]:
    """The attempts at a job's tasks (at one of them) that workers hold now, the oldest few."""
    chunks = [each for each in state.chunks.of("run", job_id) if each.left and (index is None or index in each.left)]
    return [
        HeldView(
            index=index if index is not None else min(each.left) if each.running not in each.left else each.running,
            attempt=each.attempt,
            worker_id=each.worker_id,
            phase=each.phase,
            detail=each.detail,
            assigned_s=round(max(0.0, now - each.assigned_at), 3),
        )
        for each in chunks[:MOST_HELD]
    ]


def _used(state: State) -> dict[str, int]:
    pool = state.scheduler.pool
    taken = pool.capacity[:, : pool.size] - pool.room[:, : pool.size]
    return dict(zip(NAMES, map(int, taken.sum(axis=1)), strict=True))


def _oldest_s(state: State, unbuilt: Mapping[int, float], now: float) -> float | None:
    """For how long the task waits that came first; of a build, the first of the jobs that wait for it."""
    groups = state.scheduler.queue.groups
    slots = groups.waiting.nonzero()[0]
    if not slots.size:
        return None
    run = state.scheduler.queue.head(groups[int(slots[groups.age[slots].argmin()])])
    if run.kind == "build":
        build = state.builds.by_id(run.job)
        since = min((unbuilt.get(job_id, now) for job_id in build.waiting), default=now) if build is not None else now
    else:
        since = state.jobs[run.job].queued_at if run.job in state.jobs else now
    return round(max(0.0, now - since), 3)
