"""Which workers are there: who was heard of last when, on the leader's monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from wasmgrid.core.worker import Cache, WorkerInfo


@dataclass(slots=True)
class Lease:
    """One worker as the leader knows it.

    `draining`: it says, or was told (`told_to_drain`), that it takes nothing new. `unheard`: an assignment met no
    subscriber or was refused; it gets no more until its next word, and keeps what it holds until its lease runs out.
    `hold` (cordoned, quarantined, or nothing) keeps new tasks away until a person lifts it, `note` says why. `ends_at`:
    when it means to leave. `blame` rises with tasks that failed here and succeeded elsewhere.
    """

    info: WorkerInfo
    seen_at: float
    draining: bool = False
    told_to_drain: bool = False
    unheard: bool = False
    hold: str = ""
    note: str = ""
    ends_at: float | None = None
    blame: float = 0.0
    cache: Cache = field(default_factory=Cache)

    @property
    def saved_state(self) -> str:
        """What the store keeps of it, apart from its `hold`."""
        return "draining" if self.draining else "joined"

    @property
    def state(self) -> str:
        """What it is called for people."""
        if self.draining:
            return "draining"
        return self.hold or ("unheard" if self.unheard else "joined")

    @property
    def closed(self) -> str:
        """Why it takes nothing new, or nothing where it does."""
        if self.draining:
            return "it is draining"
        if self.hold:
            return f"it is {self.hold}" + (f": {self.note}" if self.note else "")
        return "it did not answer when it was last given a task" if self.unheard else ""


class Leases:
    """Every worker that answered in this term and was heard of within the lease."""

    def __init__(self, *, lease_s: float, heartbeat_s: float) -> None:
        self.lease_s = lease_s
        self.heartbeat_s = heartbeat_s
        self._leases: dict[str, Lease] = {}
        self._looked_at: float | None = None

    def get(self, worker_id: str) -> Lease | None:
        """The worker's lease, or None."""
        return self._leases.get(worker_id)

    def all(self) -> list[Lease]:
        """Every lease."""
        return list(self._leases.values())

    def grant(self, info: WorkerInfo, now: float) -> Lease:
        """A worker introduced itself: a new lease, or the one that it has with what it now says of itself."""
        lease = self._leases.get(info.id)
        if lease is None or lease.info.incarnation != info.incarnation:
            lease = self._leases[info.id] = Lease(info=info, seen_at=now)
        lease.info, lease.seen_at = info, now
        return lease

    def renew(self, worker_id: str, incarnation: str, now: float) -> Lease | None:
        """A heartbeat came; None where this life of the worker has no lease."""
        lease = self._leases.get(worker_id)
        if lease is None or lease.info.incarnation != incarnation:
            return None
        lease.seen_at = now
        return lease

    def end(self, worker_id: str) -> None:
        """The worker left or was lost."""
        self._leases.pop(worker_id, None)

    def expired(self, now: float) -> list[Lease]:
        """The leases that ran out.

        Where this process itself stood still (stopped, starved, suspended), heartbeats may wait unread: the pause is
        given to everybody first, so that a leader's nap never looks like everybody's death.
        """
        if self._looked_at is not None and now - self._looked_at > 2 * self.heartbeat_s:
            pause = now - self._looked_at
            for lease in self._leases.values():
                lease.seen_at = min(now, lease.seen_at + pause)
        self._looked_at = now
        return [lease for lease in self._leases.values() if now - lease.seen_at > self.lease_s]
