"""Many placements in one go: new groups over all workers, or everything that waits over the workers that changed."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wasmgrid.scheduling.groups import Group
from wasmgrid.scheduling.ranking import scores
from wasmgrid.scheduling.vectors import Slots

if TYPE_CHECKING:
    from wasmgrid.scheduling.placing import Placing

SPARE = 16  # candidates beyond the tasks that wait

Line = list[tuple[int, int]]  # a tenant's groups as a heap: (age of the oldest task, slot)


@dataclass(slots=True)
class Candidates:
    """Workers for a group, best first. `partial`: there are worse ones that are not listed. `took`: one was used."""

    rows: list[int]
    partial: bool
    place: int = 0
    took: bool = False


class Pouring:
    """One pass, in order: by priority, then by tenant's share, then by age.

    Workers are ranked once per group and pass. What others take meanwhile shows when a candidate no longer fits; it
    does not rank the rest anew, which would cost a look at every worker per placement.
    """

    def __init__(self, placing: Placing, freed: set[int], fresh: set[int]) -> None:
        self._placing = placing
        self._pool, self._groups, self._reservations = placing.pool, placing.groups, placing.reservations
        self._fresh = {slot for slot in fresh if self._groups.waiting[slot]}
        self._freed = np.array([row for row in freed if self._pool.is_open[row]], dtype=np.intp)
        self._freed.sort()
        self._open = self._pool.is_open[: self._pool.size].nonzero()[0]
        self._candidates: dict[tuple[int, str], Candidates] = {}
        self._look = False
        self._most: list[int] = []
        self._measure()

    def run(self) -> None:
        """Place what fits."""
        groups = self._groups
        alive = set(self._fresh)
        if self._freed.size:
            alive.update(groups.fitting_any(self._freed).tolist())
        if not alive:
            return
        self._look = self._placing.is_time_to_look()
        if self._look:
            self._placing.reserve_first(np.array(sorted(alive), dtype=np.intp))
        lines: dict[int, dict[int, Line]] = {}
        for slot in sorted(alive):
            group = groups[slot]
            lines.setdefault(group.priority, {}).setdefault(group.tenant, []).append((group.runs[0].order, slot))
        for priority in sorted(lines, reverse=True):
            self._pour(lines[priority])
        for slot in sorted(alive & groups.avoiding, key=lambda slot: (-groups[slot].priority, groups[slot].runs[0])):
            self._pour_avoided(slot)

    def _pour(self, lines: dict[int, Line]) -> None:
        """Groups of one priority: always the tenant with the smallest share, and of that one the oldest task."""
        shares = self._placing.shares
        turns = []
        for tenant, line in lines.items():
            heapq.heapify(line)
            turns.append((float(shares.now[tenant]), line[0], tenant))
        heapq.heapify(turns)
        while turns:
            _, (_, slot), tenant = turns[0]
            line = lines[tenant]
            self._pour_one(slot, line)
            if line:
                heapq.heapreplace(turns, (float(shares.now[tenant]), line[0], tenant))
            else:
                heapq.heappop(turns)

    def _pour_one(self, slot: int, line: Line) -> None:
        """Place the oldest task of the group, which heads its tenant's line; or take the group out of it."""
        group = self._groups[slot]
        row = self._row_for(group)
        if row is None:
            heapq.heappop(line)
            if self._look and not self._groups.reserved[slot] and not self._groups.hopeless[slot]:
                self._look = not self._placing.reserve(slot)
            return
        self._placing.put(slot, row)
        if group.runs:
            heapq.heapreplace(line, (group.runs[0].order, slot))
        else:
            heapq.heappop(line)

    def _pour_avoided(self, slot: int) -> None:
        """What is left of the group goes to the workers that it avoids, after all others had their turn."""
        group = self._groups[slot]
        rows = set(self._rows_of(slot).tolist())
        for row in self._placing.shunned(group):
            while row in rows and group.runs and slot in self._groups.fitting(row) and self._may_go(group, row):
                self._placing.put(slot, row)

    def _row_for(self, group: Group) -> int | None:
        """The best worker for the group's oldest task, or None where it fits nowhere now."""
        if any(amount > most for amount, most in zip(group.need.numbers, self._most, strict=True)):
            return None
        module = group.runs[0].module
        key = (group.slot, module if module in self._pool.modules.ready else "")
        found = self._candidates.get(key)
        if found is None:
            found = self._candidates[key] = self._rank(
                group, key[1], most=group.runs[0].count + len(group.runs) + SPARE
            )
        spread = self._placing.policy == "spread"
        while True:
            while found.place < len(found.rows):
                row = found.rows[found.place]
                if self._fits(group, row):
                    found.place += spread
                    found.took = True
                    return row
                found.place += 1
            if not found.partial and not (spread and found.took):
                self._measure()
                return None
            found = self._candidates[key] = self._rank(group, key[1], most=self._pool.size)

    def _rank(self, group: Group, module: str, *, most: int) -> Candidates:
        """Up to `most` of the workers where the group's tasks fit now, best first."""
        pool, rows = self._pool, self._rows_of(group.slot)
        fits = pool.suits.table[rows, group.suits] > 0
        for room, amount in zip(pool.room, group.need.numbers, strict=True):
            fits &= room[rows] >= amount
        fits &= pool.ends_at[rows] - pool.now >= group.shape.time_limit_s
        if group.shape.need.gpus:
            fits &= pool.gpus.free.table[rows, group.gpus] >= group.shape.need.gpus
        rows = rows[fits]
        if group.avoid:
            rows = rows[~pool.among(self._placing.shunned(group))[rows]]
        if rows.size <= 1:  # one task ended on one worker: the usual case, and nothing to compare
            return Candidates(rows.tolist(), partial=False)
        score = scores(pool, group, rows, module=module, policy=self._placing.policy, salt=self._placing.placed)
        if rows.size > 4 * most:
            best = np.argpartition(score, most)[:most]
            return Candidates(rows[best[score[best].argsort()]].tolist(), partial=True)
        return Candidates(rows[score.argsort()].tolist(), partial=False)

    def _rows_of(self, slot: int) -> Slots:
        """The workers to be looked at: all for a group that is new, else those that changed."""
        return self._open if slot in self._fresh else self._freed

    def _fits(self, group: Group, row: int) -> bool:
        """Whether the group still fits in a row that it was ranked for."""
        pool = self._pool
        if (pool.room[:, row] < group.need.vector).any():
            return False
        if group.shape.need.gpus and pool.gpus.free.table[row, group.gpus] < group.shape.need.gpus:
            return False
        return self._may_go(group, row)

    def _may_go(self, group: Group, row: int) -> bool:
        """Whether the worker is not kept for somebody else."""
        kept = self._reservations.at(row)
        return kept is None or bool(self._reservations.allows(kept, np.array([group.slot], dtype=np.intp)).size)

    def _measure(self) -> None:
        """The most that any worker here has free: what needs more need not be compared with each."""
        pool, rows = self._pool, self._open if self._fresh else self._freed
        room = pool.room[:, : pool.size] if rows.size == pool.size else pool.room[:, rows]
        self._most = room.max(axis=1, initial=-1).tolist()
