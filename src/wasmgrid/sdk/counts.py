"""A job's tasks by where they are, whatever words a server has for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec

_WAITING = ("building", "queued", "waiting")


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks a job has (`total`), and where they are; `failed` is every end but success and a cancellation."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0

    @classmethod
    def of(cls, said: Mapping[str, int], total: int) -> Self:
        """Out of `task_counts`, of which only the known words are not failures."""
        rest = {word: count for word, count in said.items() if word not in _WAITING}
        known = {word: rest.pop(word, 0) for word in ("succeeded", "cancelled", "running")}
        return cls(total=total, failed=sum(rest.values()), **known)

    @property
    def ended(self) -> int:
        """How many have a result."""
        return self.succeeded + self.failed + self.cancelled
