"""Whose turn it is: the weighted dominant share of each tenant."""

from __future__ import annotations

from collections.abc import Mapping
from operator import add, mul, sub

import numpy as np

from wasmgrid.scheduling.vectors import FEW, KINDS, Floats


class Shares:
    """A tenant's share is the greatest part that it has of any resource of the pool, divided by its weight (else 1).

    `now[tenant]` are the shares, by the numbers that `number` gives; the smaller goes first. Idle capacity is
    anybody's: shares order what waits, they cap nothing.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        if any(weight <= 0 for weight in weights.values()):
            raise ValueError(f"weights of tenants are above 0: {dict(weights)}")
        self._given = dict(weights)
        self._numbers: dict[str, int] = {}
        self._weights: list[float] = []
        self._used: list[list[int]] = []
        self._per_unit: tuple[float, ...] = (0.0,) * KINDS
        self._stale = False
        self.now: Floats = np.zeros(FEW)

    def number(self, tenant: str) -> int:
        """The tenant's number, for good."""
        known = self._numbers.get(tenant)
        if known is None:
            known = self._numbers[tenant] = len(self._used)
            self._used.append([0] * KINDS)
            self._weights.append(self._given.get(tenant, 1.0))
            if known == len(self.now):
                self.now = np.pad(self.now, (0, known))
        return known

    def size_pool(self, totals: list[int]) -> None:
        """The pool has these amounts altogether."""
        self._per_unit = tuple(1.0 / total if total > 0 else 0.0 for total in totals)
        self._stale = True

    def take(self, tenant: int, need: tuple[int, ...]) -> None:
        """The tenant has this more."""
        used = self._used[tenant] = list(map(add, self._used[tenant], need))
        self._weigh(tenant, used)

    def give_back(self, tenant: int, need: tuple[int, ...]) -> None:
        """The tenant has this less."""
        used = self._used[tenant] = list(map(sub, self._used[tenant], need))
        self._weigh(tenant, used)

    def settle(self) -> None:
        """After the pool changed: weigh everybody again, once for any number of changes."""
        if self._stale:
            self._stale = False
            for tenant, used in enumerate(self._used):
                self._weigh(tenant, used)

    def of(self, tenant: str) -> float:
        """The tenant's share; 0 of one that has nothing."""
        self.settle()
        return float(self.now[self._numbers[tenant]]) if tenant in self._numbers else 0.0

    def _weigh(self, tenant: int, used: list[int]) -> None:
        self.now[tenant] = max(map(mul, used, self._per_unit)) / self._weights[tenant]
