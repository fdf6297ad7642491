"""Attempt ids: (term, counter) in one integer: a later attempt is always the greater, without a write for each."""

from __future__ import annotations

_COUNTER_BITS = 32


def term_of(attempt: int) -> int:
    """The term in which the attempt was made."""
    return attempt >> _COUNTER_BITS


class AttemptIds:
    """Ids of one term, rising. 2^31 terms of 2^32 attempts fit a signed 64-bit column."""

    def __init__(self, term: int) -> None:
        self._next = term << _COUNTER_BITS

    @property
    def latest(self) -> int:
        """The id that was given last."""
        return self._next

    def take(self) -> int:
        """The next id."""
        self._next += 1
        return self._next
