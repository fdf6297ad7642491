"""How long it takes until all is well again after one thing died: measured at a grid that does nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.grid import ChaosGrid, Layout, cables, running
from tests.chaos.parts import wait
from tests.chaos.user import PATIENCE_S, User
from tests.e2e.programs import prints

Seconds = list[float]


def measure(directory: Path, *, times: int) -> dict[str, Seconds]:
    """What was done and what was waited for -> the seconds that it took, each of `times` times."""
    with running(directory, Layout(cables=cables())) as grid:
        user = User(grid)
        found: dict[str, Seconds] = {}
        for what, once in MEASURES.items():
            found[what] = [_settled(grid, user, once) for _ in range(times)]
        return found


def _settled(grid: ChaosGrid, user: User, once: Callable[[ChaosGrid, User], float]) -> float:
    grid.settle()
    user.leader()
    clients = len(grid.servers) + len(grid.workers) + len(grid.builders)
    wait(lambda: grid.fabric.clients() == clients, "everyone is connected", PATIENCE_S)
    wait(lambda: grid.joined() >= {*grid.workers, *grid.builders}, "all workers are there", PATIENCE_S)
    return once(grid, user)


def _leader_killed(grid: ChaosGrid, user: User) -> float:
    first = user.leader()
    grid.parts[first].shoot()
    took_s = wait(lambda: grid.leader() not in {"", first}, "another one leads", PATIENCE_S)
    grid.parts[first].reap()
    grid.restart(first)
    return took_s


def _leader_killed_until_a_job_ends(grid: ChaosGrid, user: User) -> float:
    first = user.leader()
    began = time.monotonic()
    grid.parts[first].shoot()
    user.wait(user.submit(prints("short 1")), "succeeded")
    took_s = time.monotonic() - began
    grid.parts[first].reap()
    grid.restart(first)
    return took_s


def _worker_killed(grid: ChaosGrid, user: User) -> float:
    job_id, worker = user.hold(1.0, "moved")
    grid.parts[worker].shoot()
    took_s = wait(lambda: len(user.starts(job_id)) == 2, "the next attempt", PATIENCE_S)
    user.wait(job_id, "succeeded")
    grid.parts[worker].reap()
    grid.restart(worker)
    return took_s


def _nats_killed(grid: ChaosGrid, _user: User) -> float:
    everyone = grid.fabric.clients()
    busiest = max(grid.fabric.parts, key=grid.fabric.clients_of)
    busiest.shoot()
    busiest.reap()
    took_s = wait(lambda: grid.fabric.clients() == everyone, "everyone is connected elsewhere", PATIENCE_S)
    grid.restart(busiest.name)
    return took_s


def _postgres_restarted(grid: ChaosGrid, user: User) -> float:
    grid.parts["postgres"].kill()
    began = time.monotonic()
    grid.restart("postgres")
    user.wait(user.submit(prints("short 1")), "succeeded")
    return time.monotonic() - began


MEASURES = {
    "kill -9 of the leader, until another one leads": _leader_killed,
    "kill -9 of the leader, until a job that is submitted then has ended": _leader_killed_until_a_job_ends,
    "kill -9 of a worker, until its task runs elsewhere": _worker_killed,
    "kill -9 of the NATS with most clients, until all are connected elsewhere": _nats_killed,
    "start of PostgreSQL after a kill -9, until a job that is submitted then has ended": _postgres_restarted,
}
