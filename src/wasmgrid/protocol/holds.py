"""What a person wants of a worker: that it takes nothing new (cordon), that it does again, that it leaves (drain)."""

from __future__ import annotations

from wasmgrid.core.wire import DrainWorker
from wasmgrid.protocol.events import WorkerAsked
from wasmgrid.protocol.state import State


def asked(state: State, event: WorkerAsked) -> None:
    """Do it; nothing happens where that worker is not there."""
    lease = state.leases.get(event.worker_id)
    if lease is None:
        return
    if event.action == "drain":
        lease.draining = lease.told_to_drain = True
        state.send(event.worker_id, DrainWorker(term=state.term))
    elif event.action == "cordon":
        lease.hold, lease.note = "cordoned", ""
        state.holds[event.worker_id] = (lease.hold, lease.note)
    else:
        lease.hold, lease.note, lease.blame = "", "", 0.0
        state.holds.pop(event.worker_id, None)
    state.save(lease, lease.saved_state)
    state.offer(lease)
