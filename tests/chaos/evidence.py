"""What a run left behind, gathered: workers' start logs, the store's rows, what every server says of every job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from tests.chaos.checker import Evidence
from tests.chaos.grid import LEASE_S, ChaosGrid
from tests.chaos.records import Fault, Json, Start, Submission

from wasmgrid.home import Home
from wasmgrid.sdk import calls
from wasmgrid.worker import starts

GRACE_S = LEASE_S + 6.0  # a lease, a take-over, and a machine that has two cpus for all of it


def gather(grid: ChaosGrid, submissions: list[Submission], faults: list[Fault]) -> Evidence:
    """Ask everyone; the grid must be well."""
    ids = sorted({job_id for one in submissions for job_id in one.ids})
    return Evidence(
        submissions=submissions,
        starts=[start for name in (*grid.workers, *grid.builders) for start in starts_of(grid, name)],
        faults=faults,
        ends={server: _ends(grid, server, ids) for server in grid.servers},
        reasons=reasons(grid),
        path=frozenset(grid.nats),
        grace_s=GRACE_S,
    )


def starts_of(grid: ChaosGrid, worker: str) -> Iterator[Start]:
    """Every start in a worker's own log, with its end where that is there too."""
    found: dict[int, Start] = {}
    for entry in starts.read(Home(grid.home(worker)).worker(worker)):
        match entry:
            case starts.Began(at=at, attempt=attempt, kind=kind, id=number, index=index):
                if attempt in found:
                    yield found.pop(attempt)
                found[attempt] = Start(attempt=attempt, worker=worker, kind=kind, id=number, index=index, at=at)
            case starts.Ended(at=at, attempt=attempt) if attempt in found:
                yield replace(found.pop(attempt), ended_at=at)
    yield from found.values()


def reasons(grid: ChaosGrid) -> dict[tuple[str, int], str]:
    """(kind, attempt) -> why it ended without ending its task."""
    with grid.database() as database:
        rows = database.execute("SELECT kind, attempt, reason FROM attempts").fetchall()
    return {(kind, attempt): reason for kind, attempt, reason in rows}


def _ends(grid: ChaosGrid, server: str, ids: list[int]) -> dict[int, Json]:
    with grid.client(server) as client:
        return {job_id: json.loads(client.send(calls.raw(calls.job(job_id)))) for job_id in ids}
