"""Whatever fails, every job ends once, capacity is never exceeded, and everything finishes once the faults stop."""

from __future__ import annotations

import pytest
from tests.simulation.world import World

FAULT_KINDS = {
    "cancel",
    "disk full",
    "leader killed",
    "leader killed after commit",
    "message doubled",
    "message late",
    "message lost",
    "notice lost",
    "runner crash",
    "worker frozen",
    "worker killed",
    "worker leaves",
    "worker unreachable",
}


@pytest.mark.parametrize("block", range(5))
def test_every_job_ends_once(block: int) -> None:
    inflicted: set[str] = set()
    for seed in range(block * 20, block * 20 + 20):
        world = World(seed)
        try:
            world.run()
        except Exception as error:  # noqa: BLE001 -- whatever it was, the seed must be told
            pytest.fail(f"seed {seed} at {world.now:.2f} s: {type(error).__name__}: {error}")
        inflicted |= {kind for kind, count in world.faults.items() if count}
        assert set(world.store.results) == set(world.store.jobs)
    assert inflicted == FAULT_KINDS, FAULT_KINDS - inflicted


def test_without_faults_every_task_starts_once() -> None:
    world = World(7, faulty_s=0.0)
    world.run()
    failed_and_retried = sum(world.store.jobs[job_id].retries for job_id in world.store.jobs)
    extra = sum(count - 1 for count in world.starts.values())
    assert extra <= failed_and_retried


def test_a_seed_replays_exactly() -> None:
    histories = []
    for _ in range(2):
        world = World(11)
        world.run()
        histories.append((world.now, dict(world.faults), dict(world.starts), world.store.finished))
    assert histories[0] == histories[1]
