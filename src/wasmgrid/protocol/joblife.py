"""A job's way through the leader: its module is known, its tasks are queued, they start, they end."""

from __future__ import annotations

from collections.abc import Iterable

from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobEvent, advance
from wasmgrid.core.outcome import Outcome
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import Cancel
from wasmgrid.protocol import attempts, waiting
from wasmgrid.protocol.chunks import Chunk, runs_of
from wasmgrid.protocol.deadlines import QueueTimeout
from wasmgrid.protocol.events import EndedAttempt, FinishedJob, Record
from wasmgrid.protocol.jobs import Job, grown_mb
from wasmgrid.protocol.state import Ack, State


def module_known(state: State, job: Job, module_sha256: str, *, build_ms: float, now: float) -> None:
    """A build, or an earlier one, gave the job its module."""
    job.module_sha256, job.build_ms, job.reason = module_sha256, build_ms, None
    if job.spec.build_only:
        state.write(Record(finished=[job.end(JobEvent.SUCCEEDED)]), finished=[job.id])
        return
    job.state = advance(job.state, JobEvent.BUILT)
    queue_tasks(state, job, now)
    state.changed(job.id)


def queue_tasks(state: State, job: Job, now: float) -> None:
    """Every task of the job that has no result waits for a worker, unless one may still hold it from before."""
    if job.spec.queue_timeout_s is not None:
        state.deadlines.add(now + job.spec.queue_timeout_s, QueueTimeout(job.id))
    job.queued_at = now
    _remember_memory(state, job)
    free = waiting.of(state, job)
    if job.old and not state.takeover.settled:
        for run in free.runs():
            job.withheld.add(*run)
    else:
        waiting.release(state, job, free.runs())


def _remember_memory(state: State, job: Job) -> None:
    """Tries before this leader's time are taken for such as ran out of memory."""
    if job.spec.retry_memory is None:
        return
    need_mb, most_mb = job.shape.need.memory_mb, state.settings.memory_most_mb
    for history in job.history.values():
        if history.tries and not history.memory_mb:
            history.memory_mb = grown_mb(need_mb, job.spec.retry_memory, history.tries, most_mb=most_mb)


def end_unbuilt(state: State, job: Job, outcome: Outcome) -> None:
    """The job ends without its module. Workers hold tasks of it only where it had one, which was lost."""
    for chunk in state.chunks.of("run", job.id):
        if chunk.left:
            state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason="superseded"))
            attempts.take_back(state, chunk, set(chunk.left))
    first, _ = job.indexes.without(job.done).runs()[0]
    job.settle([(first, 1)], outcome)
    event = JobEvent.CANCELLED if job.cancellations else JobEvent.BUILD_FAILED
    finished = job.end(event, outcome.message or "")
    _write(state, [job], results=[never_ran(job.id, first, outcome)], finished=[(job, finished)])


def never_ran(job_id: int, index: int, outcome: Outcome, ended: EndedAttempt | None = None) -> TaskResult:
    """The result of a task that no worker brought to an end."""
    return TaskResult(
        job_id=job_id,
        index=index,
        attempt=ended.attempt if ended else 0,
        worker_id=ended.worker_id if ended else "",
        outcome=outcome,
    )


def end_waiting(state: State, job: Job, runs: Iterable[Run], outcome: Outcome) -> None:
    """These tasks, which nobody holds, end so without having run: one result for each run of them."""
    ranges, singles = [], []
    for first, count in runs:
        if count == 1:
            singles.append(never_ran(job.id, first, outcome))
        else:
            ranges.append(TaskRange(job_id=job.id, first=first, count=count, attempt=0, worker_id="", outcome=outcome))
    if singles or ranges:
        end_tasks(state, singles, ranges)


def end_tasks(
    state: State,
    results: list[TaskResult],
    ranges: list[TaskRange] | None = None,
    *,
    settled: list[tuple[Chunk, list[int]]] | None = None,
    ended: list[EndedAttempt] | None = None,
    acks: list[Ack] | None = None,
) -> None:
    """Commit these results, with the ends of the jobs whose last ones they are."""
    ranges = ranges or []
    jobs = _settle(state, results, ranges)
    finished = []
    for job, message in jobs.items():
        if len(job.done) == job.task_count:
            finished.append((job, job.end_by_tasks(message)))
    _write(state, list(jobs), results, ranges, finished=finished, settled=settled, ended=ended, acks=acks)
    for job in jobs:
        if job.gave_up and job.stopping is None:
            waiting.close(state, job)


def _settle(state: State, results: list[TaskResult], ranges: list[TaskRange]) -> dict[Job, str]:
    """Note the results with their jobs; the jobs, each with the message of its last one."""
    jobs: dict[Job, str] = {}
    alike: dict[tuple[int, str, bool], tuple[Outcome, list[int]]] = {}
    for result in results:
        outcome = result.outcome
        key = (result.job_id, outcome.kind, outcome.succeeded)
        found = alike.get(key)
        if found is None:
            found = alike[key] = (outcome, [])
        found[1].append(result.index)
    for (job_id, _, _), (outcome, indexes) in alike.items():
        state.jobs[job_id].settle(list(runs_of(indexes)), outcome)
    for each in ranges:
        state.jobs[each.job_id].settle([(each.first, each.count)], each.outcome)
    for result in results:
        jobs[state.jobs[result.job_id]] = result.outcome.message or ""
    for each in ranges:
        jobs[state.jobs[each.job_id]] = each.outcome.message or ""
    return jobs


def _write(
    state: State,
    jobs: list[Job],
    results: list[TaskResult],
    ranges: list[TaskRange] | None = None,
    *,
    finished: list[tuple[Job, FinishedJob]],
    settled: list[tuple[Chunk, list[int]]] | None = None,
    ended: list[EndedAttempt] | None = None,
    acks: list[Ack] | None = None,
) -> None:
    """Have it written; a job's end waits for what of its results is still being written apart."""
    ends = []
    for job, end in finished:
        if job.writing:
            job.ending = end
        else:
            ends.append(end)
    for job in jobs:
        job.writing += 1
        if job.task_count > 1:
            state.changed(job.id)
    record = Record(results=results, ranges=ranges or [], ended=ended or [], finished=ends)
    state.write(record, acks=acks, settled=settled, finished=[end.job_id for end in ends])
