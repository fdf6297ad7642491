"""What workers say, and what their silence means."""

from __future__ import annotations

from collections.abc import Iterable

from wasmgrid.core.job import TaskId
from wasmgrid.core.wire import Cancel, DrainWorker, Heartbeat, Held, Inventory, Leave, Progress, Refused
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.protocol import attemptlife, buildlife, joblife, requests
from wasmgrid.protocol.events import Unheard
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.leases import Lease
from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task
from wasmgrid.scheduling.events import Withdrawn, WorkerGone

DIED = "the worker died while it ran"
SHOWN_PHASES = frozenset({"running", "finished"})
OVER_PHASES = frozenset({"finished", "died"})


def inventory(state: State, message: Inventory, now: float) -> None:
    """A worker says who it is and what it holds."""
    info = message.worker
    if message.term != state.term:
        if message.term < state.term:
            state.send(info.id, state.hello())
        return
    before = state.leases.get(info.id)
    if before is not None and before.info.incarnation != info.incarnation:
        died = {held.attempt for held in message.held if held.phase == "died"}
        _drop_worker(state, info.id, died=died, reason="its worker restarted", now=now)
    known = None if before is None else (before.info, before.saved_state)
    lease = state.leases.grant(info, now)
    lease.hold, lease.note = state.holds.get(info.id, ("", ""))
    lease.draining, lease.unheard = message.draining or lease.told_to_drain, False
    lease.told_to_drain &= not message.draining
    lease.ends_at = None if message.remaining_s is None else now + message.remaining_s
    lease.cache = message.cache
    state.largest_mb = max(state.largest_mb, info.capacity.memory_mb)
    state.offer(lease, tuple(message.modules))
    if known != (info, lease.saved_state):
        state.save(lease, lease.saved_state)
    for held in message.held:
        claim(state, info, held, now)
    buildlife.resolve_waiting(state)
    state.takeover.answered(info.id)
    settle_takeover(state, now)


def settle_takeover(state: State, now: float) -> None:
    """Once nobody can hold an unreported attempt any more, what was withheld is dispatched."""
    if not state.takeover.settle(now):
        return
    buildlife.drop_unclaimed(state)
    for task in state.tasks:
        if not task.withheld:
            continue
        task.withheld = False
        if task.settling:
            continue
        job = state.jobs.get(task.id.id) if task.id.kind == "run" else None
        if job is not None and job.stopping is not None:
            outcome, job.stopping = job.stopping, None
            requests.stop(state, job, outcome)
        else:
            state.enqueue(task)


def heartbeat(state: State, message: Heartbeat, now: float) -> None:
    """A worker is still there, holding these attempts."""
    lease = state.leases.renew(message.worker_id, message.incarnation, now) if message.term == state.term else None
    if lease is None:
        if message.term <= state.term:
            state.send(message.worker_id, state.hello())
        return
    lease.cache = message.cache
    if lease.unheard:
        lease.unheard = False
        state.offer(lease)
    if lease.told_to_drain:
        state.send(message.worker_id, DrainWorker(term=state.term))
    show(state, message.worker_id, message.held)
    for one in message.held:
        if one.phase not in OVER_PHASES:
            claim(state, lease.info, one, now)
    held = {one.attempt for one in message.held}
    for task in state.tasks.held_by(message.worker_id):
        if task.attempt in held:
            _repeat_cancel(state, task)
        elif task.settling:
            continue
        elif task.assign is None or task.assign.seq <= message.assigned_seq:
            attemptlife.requeue(state, task, "the worker does not hold it", crashed=False, now=now)
        elif now - task.assigned_at > 2 * state.settings.heartbeat_s:
            task.assigned_at = now
            state.send(message.worker_id, task.assign)


def progress(state: State, message: Progress, now: float) -> None:
    """A hint: some attempts are in a new phase."""
    if state.leases.renew(message.worker_id, message.incarnation, now) is not None:
        show(state, message.worker_id, message.held)


def show(state: State, worker_id: str, helds: Iterable[Held]) -> None:
    """Note the phases that a worker reports."""
    for held in helds:
        task = state.task_of(held.kind, held.id, held.index)
        if task is None or task.attempt != held.attempt or task.worker_id != worker_id or task.settling:
            continue
        if (task.phase, task.detail) == (held.phase, held.detail):
            continue
        task.phase, task.detail = held.phase, held.detail
        if held.kind == "build":
            buildlife.show_progress(state, task)
            continue
        if held.phase in SHOWN_PHASES:
            joblife.started(state, task, held.started_at)
        state.changed(held.id)


def refused(state: State, message: Refused, now: float) -> None:
    """A worker did not take an attempt, or gives it back; it gets nothing more until its next word."""
    state.counters.refused += 1
    lease = state.leases.get(message.worker_id)
    if lease is not None and not lease.unheard:
        lease.unheard = True
        state.offer(lease)
    for task in state.tasks.held_by(message.worker_id):
        if task.attempt == message.attempt and not task.settling:
            attemptlife.requeue(state, task, message.reason, crashed=False, now=now)


def unheard(state: State, event: Unheard, now: float) -> None:
    """Nobody listens where an assignment was sent: the worker is gone or reconnecting, known at once."""
    lease = state.leases.get(event.worker_id)
    if lease is None:
        return
    lease.unheard = True
    state.offer(lease)
    for task in state.tasks.held_by(event.worker_id):
        if task.attempt == event.attempt and not task.settling:
            attemptlife.requeue(state, task, "its worker is not there", crashed=False, now=now)


def leave(state: State, message: Leave, now: float) -> None:
    """A worker stops."""
    lease = state.leases.get(message.worker_id)
    if lease is not None and lease.info.incarnation == message.incarnation:
        _lose(state, lease, "left", "its worker left", now)
    state.takeover.answered(message.worker_id)
    settle_takeover(state, now)


def expire(state: State, now: float) -> None:
    """Workers that were silent for the whole lease are lost, and their tasks go to others."""
    for lease in state.leases.expired(now):
        state.counters.leases_lost += 1
        _lose(state, lease, "lost", f"its worker was silent for {state.settings.lease_s:g} s", now)


def _lose(state: State, lease: Lease, row_state: str, reason: str, now: float) -> None:
    state.leases.end(lease.info.id)
    _drop_worker(state, lease.info.id, died=set(), reason=reason, now=now)
    state.save(lease, row_state)


def _drop_worker(state: State, worker_id: str, *, died: set[int], reason: str, now: float) -> None:
    """The worker's capacity goes, and so does what it held; the attempts in `died` count as crashes."""
    state.schedule(WorkerGone(worker_id))
    buildlife.forget_unclaimed(state, worker_id)
    for task in state.tasks.held_by(worker_id):
        if not task.settling:
            crashed = task.attempt in died
            attemptlife.requeue(state, task, DIED if crashed else reason, crashed=crashed, now=now)


def claim(state: State, info: WorkerInfo, held: Held, now: float) -> None:
    """A worker says that it holds this attempt: it is the current one, or becomes it, or must stop."""
    task = state.task_of(held.kind, held.id, held.index)
    if held.attempt in state.unanswered or (task is not None and task.settling):
        return
    is_current = task is not None and task.attempt == held.attempt and task.worker_id == info.id
    if task is not None and held.attempt > task.latest:
        take_up(state, task, info.id, held, now)
    elif task is not None and is_current:
        if held.phase == "died":
            attemptlife.requeue(state, task, DIED, crashed=True, now=now)
    elif (
        task is None
        and held.kind == "build"
        and (not state.takeover.settled or TaskId("build", held.id) in state.unclaimed)
    ):
        if held.phase != "died":
            buildlife.set_aside(state, info.id, held)
    elif held.phase not in OVER_PHASES:
        state.send(info.id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))


def take_up(state: State, task: Task, worker_id: str, held: Held, now: float) -> None:
    """An attempt from before that is later than all that is known of its task: the highest one counts.

    Only one of an earlier term can be unknown here. Those of this term were given by this leader, or are made up.
    """
    if term_of(held.attempt) >= state.term:
        state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
        return
    if task.attempt is not None:
        state.send(task.worker_id, Cancel(term=state.term, attempt=task.attempt, reason="superseded"))
        attemptlife.requeue(state, task, "a later attempt is alive", crashed=False, now=now)
        if task.settling or state.tasks.get(task.id) is None:  # its job is being stopped: that was its end
            state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
            return
    if held.phase == "died":
        state.schedule(Withdrawn(task.id))
        state.tasks.hold(task, attempt=held.attempt, worker_id=worker_id, assign=None, now=now)
        attemptlife.requeue(state, task, DIED, crashed=True, now=now)
    elif state.adopt(task, worker_id, held, now):
        show(state, worker_id, [held])


def _repeat_cancel(state: State, task: Task) -> None:
    job = state.jobs.get(task.id.id) if task.id.kind == "run" else None
    if job is not None and job.stopping is not None and task.attempt is not None and not task.settling:
        state.send(task.worker_id, Cancel(term=state.term, attempt=task.attempt, reason=job.stopping.message or ""))
