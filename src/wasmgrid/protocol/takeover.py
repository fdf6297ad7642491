"""Who must still answer before tasks older than the take-over may be dispatched."""

from __future__ import annotations

ASKING = "the server just took over and asks the workers what they hold"


class Takeover:
    """Settled once every worker that was there before has answered with its inventory, or the lease window is over.

    Where this process itself stood still for longer than `nap_s`, answers may wait unread: the window grows by that.
    """

    def __init__(self, known_workers: set[str], *, now: float, lease_s: float, nap_s: float) -> None:
        self._silent = set(known_workers)
        self._deadline = now + lease_s
        self._looked_at = now
        self._nap_s = nap_s
        self._settled = False

    @property
    def settled(self) -> bool:
        """Whether nobody can hold an unreported attempt from before any more."""
        return self._settled

    def answered(self, worker_id: str) -> None:
        """The worker's inventory came in, or it left for good."""
        self._silent.discard(worker_id)

    def settle(self, now: float) -> bool:
        """True once: when it becomes settled."""
        pause, self._looked_at = now - self._looked_at, now
        if pause > self._nap_s:
            self._deadline += pause
        if self._settled or (self._silent and now < self._deadline):
            return False
        self._settled = True
        return True
