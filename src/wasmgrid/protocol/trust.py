"""Which workers fail tasks that succeed elsewhere: such a worker is quarantined until a person looks at it."""

from __future__ import annotations

from wasmgrid.protocol.state import State
from wasmgrid.protocol.tasks import Task

FORGIVEN = 0.1  # of the blame, by each task that succeeds there


def failed(task: Task) -> None:
    """The attempt that ends now failed, for whatever reason: the next one is better made elsewhere."""
    task.failed_at |= {task.worker_id}


def succeeded(state: State, task: Task) -> None:
    """The task succeeded where it is now: whoever failed it is to blame, not the task."""
    here = state.leases.get(task.worker_id)
    if here is not None and here.blame:
        here.blame = max(0.0, here.blame - FORGIVEN)
    for worker_id in sorted(task.failed_at - {task.worker_id}):
        lease = state.leases.get(worker_id)
        if lease is None or lease.hold:
            continue
        lease.blame += 1
        if lease.blame >= state.settings.quarantine_after:
            lease.hold = "quarantined"
            lease.note = f"{state.settings.quarantine_after} tasks that failed there succeeded elsewhere"
            state.holds[worker_id] = (lease.hold, lease.note)
            state.counters.quarantined += 1
            state.save(lease, lease.saved_state)
            state.offer(lease)
