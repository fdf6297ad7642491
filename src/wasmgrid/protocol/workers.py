"""What workers say, and what their silence means."""

from __future__ import annotations

from collections.abc import Iterable

from wasmgrid.core.ranges import Ranges
from wasmgrid.core.wire import Cancel, DrainWorker, Heartbeat, Held, Inventory, Leave, Progress, Refused
from wasmgrid.protocol import attemptlife, buildlife, claims, requests, waiting
from wasmgrid.protocol.chunks import Chunk
from wasmgrid.protocol.claims import DIED, OVER_PHASES
from wasmgrid.protocol.events import Unheard
from wasmgrid.protocol.leases import Lease
from wasmgrid.protocol.state import State
from wasmgrid.scheduling.events import WorkerGone

SHOWN_PHASES = frozenset({"running", "finished"})


def inventory(state: State, message: Inventory, now: float) -> None:
    """A worker says who it is and what it holds."""
    info = message.worker
    if message.term != state.term:
        if message.term < state.term:
            state.send(info.id, state.hello())
        return
    before = state.leases.get(info.id)
    if before is not None and before.info.incarnation != info.incarnation:
        died = {held.attempt: held for held in message.held if held.phase == "died"}
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
        claims.claim(state, info.id, held, now)
    buildlife.resolve_waiting(state)
    state.takeover.answered(info.id)
    settle_takeover(state, now)


def settle_takeover(state: State, now: float) -> None:
    """Once nobody can hold an unreported attempt any more, what was withheld is dispatched."""
    if not state.takeover.settle(now):
        return
    buildlife.release_withheld(state)
    for job in list(state.jobs.values()):
        if not job.withheld:
            continue
        free, job.withheld = job.withheld, Ranges()
        if job.stopping is not None and not job.finished:
            outcome, job.stopping = job.stopping, None
            requests.stop(state, job, outcome)
        else:
            for index in job.resting:
                free.discard(index)
            waiting.release(state, job, free.runs())
    buildlife.resolve_waiting(state)  # a build that was withheld may need what nobody has any more
    buildlife.drop_unclaimed(state)


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
    held = {told.attempt: told for told in message.held}
    for told in message.held:
        if told.phase not in OVER_PHASES:
            claims.claim(state, lease.info.id, told, now)
    for chunk in state.chunks.held_by(message.worker_id):
        if not chunk.left:
            continue
        one = held.get(chunk.attempt)
        if chunk.assign is None or chunk.assign.seq <= message.assigned_seq:
            claims.reconcile(state, chunk, one, now)
            if one is not None:
                _repeat_cancel(state, chunk)
        elif one is None and now - chunk.assigned_at > 2 * state.settings.heartbeat_s:
            chunk.assigned_at = now
            state.send(message.worker_id, chunk.assign)


def progress(state: State, message: Progress, now: float) -> None:
    """A hint: some attempts are in a new phase."""
    if state.leases.renew(message.worker_id, message.incarnation, now) is not None:
        show(state, message.worker_id, message.held)


def show(state: State, worker_id: str, helds: Iterable[Held]) -> None:
    """Note the phases that a worker reports."""
    for held in helds:
        chunk = state.chunks.get(held.attempt)
        if chunk is None or chunk.worker_id != worker_id or not chunk.left:
            continue
        if (chunk.phase, chunk.detail, chunk.running) == (held.phase, held.detail, held.running):
            continue
        chunk.phase, chunk.detail, chunk.running = held.phase, held.detail, held.running
        if chunk.kind == "build":
            buildlife.show_progress(state, chunk)
            continue
        if held.phase in SHOWN_PHASES:
            state.jobs[chunk.id].start(held.started_at)
        state.changed(chunk.id)


def refused(state: State, message: Refused, now: float) -> None:
    """A worker did not take an attempt, or gives it back; it gets nothing more until its next word."""
    state.counters.refused += 1
    lease = state.leases.get(message.worker_id)
    if lease is not None and not lease.unheard:
        lease.unheard = True
        state.offer(lease)
    chunk = state.chunks.get(message.attempt)
    if chunk is not None and chunk.worker_id == message.worker_id:
        attemptlife.requeue(state, chunk, message.reason, now)


def unheard(state: State, event: Unheard, now: float) -> None:
    """Nobody listens where an assignment was sent: the worker is gone or reconnecting, known at once."""
    lease = state.leases.get(event.worker_id)
    if lease is None:
        return
    lease.unheard = True
    state.offer(lease)
    chunk = state.chunks.get(event.attempt)
    if chunk is not None and chunk.worker_id == event.worker_id:
        attemptlife.requeue(state, chunk, "its worker is not there", now)


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
    _drop_worker(state, lease.info.id, died={}, reason=reason, now=now)
    state.save(lease, row_state)


def _drop_worker(state: State, worker_id: str, *, died: dict[int, Held], reason: str, now: float) -> None:
    """The worker's capacity goes, and so does what it held; what ran in the attempts in `died` crashed."""
    state.schedule(WorkerGone(worker_id))
    buildlife.forget_unclaimed(state, worker_id)
    for chunk in state.chunks.held_by(worker_id):
        chunk.has_room = False  # it went with its worker
        held = died.get(chunk.attempt)
        if held is not None:
            claims.died(state, chunk, held, now)
        attemptlife.requeue(state, chunk, DIED if held is not None else reason, now)


def _repeat_cancel(state: State, chunk: Chunk) -> None:
    job = state.jobs.get(chunk.id) if chunk.kind == "run" else None
    if job is not None and job.stopping is not None and chunk.left:
        state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason=job.stopping.message or ""))
