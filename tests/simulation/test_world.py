"""The simulator itself: one seed is one history, nothing starts twice without a fault, nobody starves."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.plan import Plan
from tests.simulation.run import run
from tests.simulation.world import World

from wasmgrid.core.job import TaskId

ROOT = Path(__file__).parents[2]


def calm(**fields: object) -> Plan:
    given = {"family": "calm", "weights": {}, "horizon_s": 30.0, "servers": 2, "workers": 5, **fields}
    return Plan(**given)  # type: ignore[arg-type]


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """Also where sets are walked in another order."""
    command = [sys.executable, "-m", "tests.simulation", "--quiet", "11", "12", "13"]
    told = {
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_trace_changes_nothing_and_tells_every_start() -> None:
    trace = io.StringIO()
    traced, untraced = run(15, trace), run(15)
    assert (traced.digest, traced.steps) == (untraced.digest, untraced.steps)
    assert trace.getvalue().count(" STARTS ") == traced.starts


@pytest.mark.parametrize("seed", range(3))
def test_every_seed_is_as_large_as_promised(seed: int) -> None:
    world = World(seed)
    assert len(world.servers) >= 2
    assert len(world.machines) >= 5
    assert sum(request.task_count for request in world.clients.work) >= 200


@pytest.mark.parametrize("seed", range(5))
def test_without_faults_a_task_starts_once_but_for_the_users_retries(seed: int) -> None:
    world = World(seed, given=calm())
    world.run()
    assert set(world.ledger.excused) <= {"failed", "crashed"}  # some guests fail, some crash their runner by themselves
    for task, starts in world.ledger.starts.items():
        does = world.guests[task.id].at(task.index).does if task.kind == "run" else "ok"
        may_fail = does in {"fails", "slow", "hungry", "crashes"}
        assert len(starts) == 1 or may_fail, (task, starts)


@pytest.mark.parametrize("seed", range(5))
def test_a_large_task_does_not_starve_among_small_ones(seed: int) -> None:
    """More small tasks than the pool can take come all the time: the large one waits for a time limit, not for ever."""
    world = World(seed, given=calm(is_crowded=True))
    world.run()
    large = [number for number, request in enumerate(world.clients.work, start=1) if request.starts_within_s]
    assert len(large) == 2
    for number in large:
        [start] = world.ledger.starts[TaskId("run", number)]
        later = [starts[0].at for task, starts in world.ledger.starts.items() if task.id > number + 100]
        assert start.at < min(later, default=start.at + 1)
