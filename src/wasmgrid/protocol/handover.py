"""The hand-over of results: which count, which come too late, and who may forget them."""

from __future__ import annotations

from msgspec.structs import replace

from wasmgrid.core.job import BuildResult, TaskId, TaskResult
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.wire import Held, Results, ResultsAck
from wasmgrid.protocol import attemptlife, buildlife, joblife, trust, workers
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.events import Ended, ModuleCached

STRANGERS = 10_000
STRANGE_S = 3.0  # by then the leader's sweep has found whatever is in the store


def results(state: State, message: Results, now: float) -> None:
    """A worker hands over what ended. Answered after the commit; what no longer counts is answered at once."""
    if state.leases.renew(message.worker_id, message.incarnation, now) is None:
        state.send(message.worker_id, state.hello())
        return
    dropped: list[int] = []
    taken: list[tuple[Task | None, TaskResult]] = []
    for result in message.tasks:
        task = _current(state, state.task_of("run", result.job_id, result.index), message, result, dropped)
        if task is not None and _ends(state, task, result, now):
            taken.append((task, _with_times(state, task, result)))
    for build in message.builds:
        task = _current(state, state.task_of("build", build.build_id, 0), message, build, dropped)
        if task is not None:
            _end_build(state, task, build, now)
    if dropped:
        state.send(message.worker_id, ResultsAck(attempts=dropped, term=state.term))
    if taken:
        state.counters.results += len(taken)
        joblife.end_tasks(state, taken, acks=[(message.worker_id, result.attempt) for _, result in taken])


def _current(
    state: State, task: Task | None, message: Results, result: TaskResult | BuildResult, dropped: list[int]
) -> Task | None:
    """The task that this result ends, or None: it is committed already, superseded, or being committed.

    Where another end of the task is being committed, that must be there before this one may be forgotten.
    """
    if result.attempt in state.unanswered or (task is not None and task.settling):
        return None
    if task is None:
        if not _may_be_found_yet(state, result):
            dropped.append(result.attempt)
        return None
    if result.attempt > task.latest and term_of(result.attempt) < state.term:  # its task was not there to be claimed
        held = Held(attempt=result.attempt, kind=task.id.kind, id=task.id.id, index=task.id.index, phase="finished")
        workers.take_up(state, task, message.worker_id, held, state.now)
    if task.attempt != result.attempt or task.worker_id != message.worker_id:
        state.counters.stale_results += 1
        dropped.append(result.attempt)
        return None
    return task


def _may_be_found_yet(state: State, result: TaskResult | BuildResult) -> bool:
    """Whether the task may be one that this leader has not heard of yet, so that nothing of it may be forgotten.

    A leader that did not know that it was over may have given away what was committed meanwhile: the sweep finds it.
    """
    if isinstance(result, BuildResult):
        return TaskId("build", result.build_id) in state.unclaimed
    if term_of(result.attempt) >= state.term:
        return False
    if len(state.strangers) > STRANGERS:  # their workers never spoke again
        state.strangers.clear()
    since = state.strangers.setdefault(result.attempt, state.now)
    if state.now - since < STRANGE_S:
        return True
    del state.strangers[result.attempt]
    return False


def _ends(state: State, task: Task, result: TaskResult, now: float) -> bool:
    """Whether the result ends its task, rather than giving it another attempt."""
    job = state.jobs[result.job_id]
    if result.outcome.kind is OutcomeKind.LOST:
        trust.failed(task)
        message = result.outcome.message or "its runner crashed"
        attemptlife.requeue(state, task, message, crashed=True, now=now, answer=True)
        return False
    if result.module_missing and job.spec.source is not None and not job.stopping:
        if result.attempt <= job.rebuilt_after:  # another task said so before
            attemptlife.requeue(state, task, "its module was gone", crashed=False, now=now, answer=True)
            return False
        if not job.rebuilt_after:
            attemptlife.rebuild(state, task)
            return False
    succeeded = result.outcome.succeeded
    if not succeeded and attemptlife.wants_retry(state, job, task, result.outcome):
        attemptlife.retry(state, task, result.outcome, now)
        return False
    joblife.started(state, task, result.started_at or None)
    state.schedule(Ended(task.id))
    if not result.stats.module_cached:
        state.schedule(ModuleCached(result.worker_id, task.module))
    if succeeded:
        trust.succeeded(state, task)
    return True


def _end_build(state: State, task: Task, result: BuildResult, now: float) -> None:
    crashed = result.outcome.kind is OutcomeKind.LOST
    wanted = state.builds.by_id(result.build_id) is not None
    if crashed or (wanted and result.outcome.kind is OutcomeKind.CANCELLED):
        message = result.outcome.message or "the builder crashed"
        attemptlife.requeue(state, task, message, crashed=crashed, now=now, answer=True)
    else:
        buildlife.ended(state, task, result)


def _with_times(state: State, task: Task, result: TaskResult) -> TaskResult:
    """The result with what only the leader knows: how long the task waited, and its build took; why it was stopped."""
    job = state.jobs[result.job_id]
    stats = replace(result.stats, queue_ms=max(0.0, (task.assigned_at - task.queued_at) * 1000), build_ms=job.build_ms)
    outcome = result.outcome
    if job.stopping is not None and outcome.kind is OutcomeKind.CANCELLED:
        outcome = job.stopping
    return replace(result, stats=stats, outcome=outcome)
