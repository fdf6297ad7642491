"""What a leader's memory says to people: read-only functions over `State`."""

from __future__ import annotations

from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.protocol.events import LiveJob, LiveTask
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.leases import Lease
from wasmgrid.protocol.state import State
from wasmgrid.protocol.takeover import ASKING
from wasmgrid.scheduling.explain import Why, explain
from wasmgrid.scheduling.shape import run_shape

NAMED_WORKERS = 3  # in a warning; `why` names them all
WAITS = ", it waits for one that can"  # in that warning; where the job is refused instead, left out
COMPARED_WORKERS = 32  # for the one sentence that a status gives, asked for often


def live(state: State, job_id: int) -> LiveJob | None:
    """What is known of an unfinished job beyond the store; None where its end is committed, or it is unknown."""
    job = state.jobs.get(job_id)
    if job is None:
        return None
    if job.finished:
        return LiveJob(
            state=job.shown_state,
            reason="its end is being written",
            started_at=job.started_at,
            module_sha256=job.module_sha256,
            counts=_counts(job, 0),
        )
    held = [chunk for chunk in state.chunks.of("run", job_id) if chunk.left]
    tasks = [
        LiveTask(
            index=min(chunk.left) if chunk.running not in chunk.left else chunk.running,
            attempt=chunk.attempt,
            worker_id=chunk.worker_id,
            phase=chunk.phase,
            detail=chunk.detail,
            count=len(chunk.left),
        )
        for chunk in held
    ]
    return LiveJob(
        state=job.state,
        reason=_reason(state, job, tasks),
        started_at=job.started_at,
        module_sha256=job.module_sha256,
        tasks=sorted(tasks, key=lambda task: task.index),
        counts=_counts(job, len(held)),
    )


def _counts(job: Job, running: int) -> dict[str, int]:
    """The job's tasks by state, above 0. Of a chunk one task runs, the others wait."""
    done = len(job.done)
    waits = JobState.BUILDING if job.state is JobState.BUILDING else JobState.QUEUED
    counts = {
        JobState.SUCCEEDED: done - job.failures - job.cancellations,
        JobState.FAILED: job.failures,
        JobState.CANCELLED: job.cancellations,
        JobState.RUNNING: running,
        waits: job.task_count - done - running,
    }
    return {str(state): count for state, count in counts.items() if count > 0}


def why(state: State, job_id: int, *, most: int | None = None) -> Why | None:
    """Why the job does not run, per worker (the `most` nearest to it); None where it is finished or unknown."""
    job = state.jobs.get(job_id)
    if job is None or job.finished:
        return None
    if job.state is JobState.RUNNING:
        return Why(reason="it runs")
    if job.state is JobState.BUILDING:
        return _why_building(state, job, most)
    if job.reason is not None:
        return Why(reason=job.reason)
    answer = explain(job.shape, state.scheduler, state.now, most=most)
    if job.old and not state.takeover.settled:
        return Why(reason=ASKING, workers=answer.workers)
    return answer


def workers(state: State, now: float) -> list[WorkerView]:
    """Every worker that has a lease."""
    return [_worker(state, lease, now) for lease in state.leases.all()]


def toolchains(state: State) -> list[Toolchain]:
    """Each toolchain identity once, as ready where some worker has it so."""
    best: dict[str, Toolchain] = {}
    for info in state.scheduler.pool.infos():
        for toolchain in info.toolchains:
            if toolchain.identity not in best or toolchain.ready:
                best[toolchain.identity] = toolchain
    return sorted(best.values(), key=lambda toolchain: (toolchain.language, not toolchain.ready))


def submission_warnings(state: State, spec: StoredSpec) -> list[str]:
    """What a person should know at once: that nobody here could ever run this."""
    pool, shape = state.scheduler.pool, run_shape(spec)
    if not pool.infos():
        return ["no worker has joined this grid; the job waits for one: wasmgrid worker"]
    if pool.ever_fits(shape):
        return []
    answers = explain(shape, state.scheduler, state.now, most=NAMED_WORKERS).workers
    reasons = [f"{answer.worker_id}: {'; '.join(answer.mismatches)}" for answer in answers]
    return [f"no worker here could ever run this{WAITS}: {' · '.join(reasons)}"]


def _why_building(state: State, job: Job, most: int | None) -> Why:
    """Its build runs (then the reason says what it is busy with), or waits for a worker like any task."""
    build = state.builds.of_job(job.id)
    if build is not None and build.asked is not None and build.asked.task in state.scheduler.queue:
        return explain(build.asked.shape, state.scheduler, state.now, most=most)
    return Why(reason=job.reason or "building")


def _reason(state: State, job: Job, tasks: list[LiveTask]) -> str | None:
    if job.stopping is not None:
        return f"stopping: {job.stopping.message}"
    if job.state is JobState.RUNNING:
        return job.reason
    if tasks:
        return f"{tasks[0].phase} on {tasks[0].worker_id}"
    answer = why(state, job.id, most=COMPARED_WORKERS)
    return answer.reason if answer else None


def _worker(state: State, lease: Lease, now: float) -> WorkerView:
    info = lease.info
    held = [chunk for chunk in state.chunks.held_by(info.id) if chunk.left]
    running = [f"{'job' if chunk.kind == 'run' else 'build'} {chunk.id}" for chunk in held]
    return WorkerView(
        id=info.id,
        state=lease.state,
        labels=info.labels,
        capacity=info.capacity,
        used=info.capacity - state.scheduler.pool.free(info.id),
        running=sorted(running),
        toolchains=info.toolchains,
        builds_only=info.builds_only,
        hostname=info.hostname,
        version=info.version,
        silent_s=round(max(0.0, now - lease.seen_at), 3),
        gpus=info.gpus,
        gpus_used=sorted(state.scheduler.pool.gpus_used(info.id)),
        cache=lease.cache,
        remaining_s=None if lease.ends_at is None else round(max(0.0, lease.ends_at - now), 1),
        note=lease.closed,
    )
