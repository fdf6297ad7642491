"""Which workers fail tasks that succeed elsewhere: such a worker is quarantined until a person looks at it."""

from __future__ import annotations

from wasmgrid.protocol.state import State

FORGIVEN = 0.1  # of the blame, by each task that succeeds there


def succeeded(state: State, worker_id: str, failed_at: frozenset[str] = frozenset()) -> None:
    """A task succeeded at this worker: whoever failed it before is to blame, not the task."""
    here = state.leases.get(worker_id)
    if here is not None and here.blame:
        here.blame = max(0.0, here.blame - FORGIVEN)
    for other in sorted(failed_at - {worker_id}):
        lease = state.leases.get(other)
        if lease is None or lease.hold:
            continue
        lease.blame += 1
        if lease.blame >= state.settings.quarantine_after:
            lease.hold = "quarantined"
            lease.note = f"{state.settings.quarantine_after} tasks that failed there succeeded elsewhere"
            state.holds[other] = (lease.hold, lease.note)
            state.counters.quarantined += 1
            state.save(lease, lease.saved_state)
            state.offer(lease)
