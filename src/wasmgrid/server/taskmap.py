"""A heat map of an array: its tasks in cells, their durations, and what went wrong in groups."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np

from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Run
from wasmgrid.server.cells import Cells, Numbers
from wasmgrid.server.service import Service
from wasmgrid.store.rows import JobRow
from wasmgrid.store.taskmap import Explained, Looked

MOST_CELLS = 10_000
LOOKS = 20_000  # results that are read for one map, about
BARS = 24
GROUPS = 50
NAMED = 10  # indexes that a group of failures names

STATES = (JobState.SUCCEEDED, JobState.QUEUED, JobState.RUNNING, JobState.CANCELLED, JobState.FAILED)  # the worst last


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the durations that were read lie between two edges: one count fewer than edges."""

    edges_ms: list[float] = []
    counts: list[int] = []


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that ended alike; `indexes` are the first few."""

    outcome: OutcomeKind
    detail: str
    count: int
    indexes: list[int]


class TaskMap(msgspec.Struct, frozen=True, kw_only=True):
    """An array's tasks in cells of `tasks_per_cell` consecutive ones (the last may have fewer); a value for each cell.

    `state` is the worst of its tasks: failed, cancelled, running, queued, succeeded, in this order. `wall_ms` is the
    longest of those that were read (null: none has run), `failed` how many failed. `exact`: every result was read;
    else `results_read` were, evenly spread. `failures` group the first `failures_read` tasks that failed.
    """

    task_count: int
    tasks_per_cell: int
    exact: bool
    results_read: int
    failures_read: int
    first_index: list[int]
    state: list[JobState]
    wall_ms: list[float | None]
    failed: list[int]
    histogram: Histogram
    failures: list[Failures]


async def drawn(service: Service, row: JobRow, most: int) -> TaskMap:
    """The map of a job, as it is now."""
    cells = Cells(row.spec.indexes, most)
    done: list[Run] | None = None
    running: list[int] = []
    if row.state not in FINISHED:
        live = await service.control.live(row.id)
        if live is not None:
            done = await service.control.done(row.id)
            running = [task.index for task in live.tasks]
    rounds = cells.rounds(max(1, LOOKS // cells.count))
    looked = await service.store.task_map(service.tenant, row.id, rounds)
    counts = await service.store.task_counts(row.id)
    return await asyncio.to_thread(_draw, cells, looked, done, running, len(rounds), counts.get("failed", 0))


def _draw(
    cells: Cells, looked: Looked, done: list[Run] | None, running: list[int], rounds: int, failures: int
) -> TaskMap:
    failed = cells.counted([(bad.first, bad.count) for bad in looked.bad if not bad.cancelled])
    cancelled = cells.counted([(bad.first, bad.count) for bad in looked.bad if bad.cancelled])
    if looked.bad_to is not None:  # too many to count: the rest is spread as what was seen of it cannot be
        _spread(cells, failed, looked.bad_to, failures)
    state = np.zeros(cells.count, dtype=np.int64)
    if done is not None:
        state[cells.counted(done) < cells.sizes()] = STATES.index(JobState.QUEUED)
        state[cells.of(running)] = STATES.index(JobState.RUNNING)
    state[cancelled > 0] = STATES.index(JobState.CANCELLED)
    state[failed > 0] = STATES.index(JobState.FAILED)
    walls = np.array([wall for _, wall in looked.walls], dtype=np.float64)
    longest = np.full(cells.count, -1.0)
    np.maximum.at(longest, cells.of(index for index, _ in looked.walls), walls)
    groups, read = _groups(looked.explained)
    return TaskMap(
        task_count=cells.tasks,
        tasks_per_cell=cells.per_cell,
        exact=looked.rounds == rounds == cells.per_cell and looked.bad_to is None,
        results_read=len(looked.walls),
        failures_read=read,
        first_index=cells.first_indexes(),
        state=[STATES[each] for each in state],
        wall_ms=[round(each, 4) if each >= 0 else None for each in longest.tolist()],
        failed=failed.tolist(),
        histogram=_histogram(walls),
        failures=groups,
    )


def _spread(cells: Cells, failed: Numbers, beyond: int, failures: int) -> None:
    """What failed from the index `beyond` on is known by its number alone: in proportion over the cells from there."""
    rest = max(0, failures - int(failed.sum()))
    first = int(cells.of([beyond])[0])
    room = cells.sizes()[first:] - failed[first:]
    total = int(room.sum())
    if total:
        failed[first:] += np.maximum(np.minimum(room, rest * room // total), 0)


def _histogram(walls: np.ndarray) -> Histogram:
    """Bars of equal width on a scale of powers."""
    if not walls.size:
        return Histogram()
    low, high = max(float(walls.min()), 0.001), max(float(walls.max()), 0.001)
    if high < low * 1.001:
        return Histogram(edges_ms=[round(low, 4), round(high, 4)], counts=[int(walls.size)])
    edges = np.geomspace(low, high, BARS + 1)
    counts, _ = np.histogram(np.clip(walls, edges[0], edges[-1]), bins=edges)
    return Histogram(edges_ms=[round(edge, 4) for edge in edges.tolist()], counts=counts.tolist())


def _groups(explained: list[Explained]) -> tuple[list[Failures], int]:
    """(those that ended alike, the largest group first; how many tasks were looked at for that)."""
    groups: dict[tuple[OutcomeKind, str], tuple[int, list[int]]] = {}
    for each in explained:
        key = each.outcome.kind, detail(each.outcome)
        count, indexes = groups.get(key, (0, []))
        more = range(each.first, each.first + min(each.count, NAMED - len(indexes)))
        groups[key] = count + each.count, [*indexes, *more]
    ordered = sorted(groups.items(), key=lambda item: -item[1][0])
    shown = [
        Failures(outcome=kind, detail=words, count=count, indexes=indexes)
        for (kind, words), (count, indexes) in ordered[:GROUPS]
    ]
    return shown, sum(count for count, _ in groups.values())


def detail(outcome: Outcome) -> str:
    """What there is to say beyond its kind, in a few words."""
    if outcome.kind is OutcomeKind.EXITED:
        return f"exit code {outcome.exit_code}"
    return (outcome.trap_kind or outcome.message or "")[:200]
