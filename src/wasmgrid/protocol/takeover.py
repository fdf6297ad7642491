"""Who must still answer before tasks older than the take-over may be dispatched."""

from __future__ import annotations


class Takeover:
    """Settled once every worker that was there before has answered with its inventory, or the lease window is over."""

    def __init__(self, known_workers: set[str], *, deadline: float) -> None:
        self._silent = set(known_workers)
        self._deadline = deadline
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
        if self._settled or (self._silent and now < self._deadline):
            return False
        self._settled = True
        return True
