"""What a run left behind, gathered: workers' start logs, the store's rows, what every server says of every job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from tests.chaos.checker import Evidence
from tests.chaos.grid import LEASE_S, ChaosGrid
from tests.chaos.records import Fault, Json, Start, Submission, TaskEnd

from wasmgrid.core.ranges import Ranges
from wasmgrid.home import Home
from wasmgrid.sdk import calls
from wasmgrid.worker import starts

GRACE_S = LEASE_S + 6.0  # a lease, a take-over, and a machine that has two cpus for all of it


def gather(grid: ChaosGrid, submissions: list[Submission], faults: list[Fault]) -> Evidence:
    """Ask everyone; the grid must be well."""
    ids = sorted({job_id for one in submissions for job_id in one.ids})
    arrays = [job_id for one in submissions if one.program.tasks for job_id in one.ids]
    return Evidence(
        submissions=submissions,
        starts=[start for name in (*grid.workers, *grid.builders) for start in starts_of(grid, name)],
        faults=faults,
        ends={server: _ends(grid, server, ids) for server in grid.servers},
        reasons=reasons(grid),
        results={job_id: list(_results(grid, job_id)) for job_id in arrays},
        path=frozenset(grid.nats),
        grace_s=GRACE_S,
        builds=builds(grid),
    )


def starts_of(grid: ChaosGrid, worker: str) -> Iterator[Start]:
    """Every start in a worker's own log, with its end where that is there too."""
    chunks: dict[int, dict[int, Start]] = {}  # attempt -> index -> what has not ended
    for entry in starts.read(Home(grid.home(worker)).worker(worker)):
        match entry:
            case starts.Began(attempt=attempt):
                yield from chunks.pop(attempt, {}).values()
                chunks[attempt] = dict(_begun(worker, entry))
            case starts.Ran(at=at, attempt=attempt, tasks=tasks):
                for index in Ranges(tasks):
                    if (start := chunks.get(attempt, {}).pop(index, None)) is not None:
                        yield replace(start, ended_at=at)
            case starts.Ended(at=at, attempt=attempt, rest=rest):
                never = Ranges(rest)
                for index, start in chunks.pop(attempt, {}).items():
                    if index not in never:
                        yield replace(start, ended_at=at)
    for chunk in chunks.values():
        yield from chunk.values()


def _begun(worker: str, entry: starts.Began) -> Iterator[tuple[int, Start]]:
    for index in range(entry.index, entry.index + entry.count):
        start = Start(attempt=entry.attempt, worker=worker, kind=entry.kind, id=entry.id, index=index, at=entry.at)
        yield index, start


def reasons(grid: ChaosGrid) -> dict[tuple[str, int, int], str]:
    """(kind, attempt, index) -> why it ended without ending its task."""
    with grid.database() as database:
        rows = database.execute("SELECT kind, attempt, task_index, count, reason FROM attempts").fetchall()
    return {
        (kind, attempt, index): reason
        for kind, attempt, first, count, reason in rows
        for index in range(first, first + count)
    }


def builds(grid: ChaosGrid) -> dict[int, int]:
    """Job -> the build that its module comes from."""
    with grid.database() as database:
        return dict(database.execute("SELECT id, build_id FROM jobs WHERE build_id IS NOT NULL").fetchall())


def _ends(grid: ChaosGrid, server: str, ids: list[int]) -> dict[int, Json]:
    with grid.client(server) as client:
        return {job_id: json.loads(client.send(calls.raw(calls.job(job_id)))) for job_id in ids}


def _results(grid: ChaosGrid, job_id: int) -> Iterator[TaskEnd]:
    with grid.client(grid.servers[0]) as client:
        for one in client.tasks(job_id):
            yield TaskEnd(index=one.index, attempt=one.attempt, worker=one.worker_id or "", outcome=one.outcome)
