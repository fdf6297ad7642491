"""Whose turn it is: priority, then the weighted dominant share of each tenant, then age."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduling.world import World, shape, task, worker

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.events import Ended, Enqueued, WorkerJoined
from wasmgrid.scheduling.scheduler import Scheduler
from wasmgrid.scheduling.shape import Shape


def churn(scheduler: Scheduler, running: deque[TaskId], steps: int) -> Counter[int]:
    """One after the other ends, the oldest first; how many tasks of which job were placed."""
    placed = Counter[int]()
    for step in range(steps):
        scheduler.handle(Ended(running.popleft()), float(step))
        for placement in scheduler.place(float(step)):
            placed[placement.task.id] += 1
            running.append(placement.task)
    return placed


def test_priority_then_share_then_age() -> None:
    world = World()
    world.join(worker("w1"))
    world.adopt(task(9), "w1", shape(0.5))
    asked = [(1, 0, "default"), (2, 0, "b"), (3, 5, "default"), (4, 0, "b"), (5, 0, "c")]
    for number, priority, tenant in asked:
        world.enqueue(task(number), shape(0.5, 100), priority=priority, tenant=tenant)
    assert [placement.task.id for placement in world.place()] == [3, 2, 5, 4, 1]


def test_the_dominant_resource_counts() -> None:
    """One tenant's tasks take memory, the other's cpus: each gets the same part of what it needs most."""
    world = World()
    world.join(worker("w1"))
    world.enqueue(task(1), shape(0.25, 1000), tenant="memory", count=20)
    world.enqueue(task(2), shape(1, 250), tenant="cpus", count=20)
    placed = Counter(placement.task.id for placement in world.place())
    assert placed == {1: 6, 2: 2} or placed == {1: 7, 2: 2}


@given(st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=2, max_size=4), st.sampled_from([1.0, 0.5]))
@settings(max_examples=20)
def test_shares_converge_to_the_weights(weights: list[float], cpus: float) -> None:
    scheduler = Scheduler(weights={f"t{number}": weight for number, weight in enumerate(weights)})
    for number in range(10):
        scheduler.handle(WorkerJoined(worker(f"w{number}")), 0.0)
    for number in range(len(weights)):
        event = Enqueued(task(number), shape(cpus, 100), 0, number, tenant=f"t{number}", count=10_000)
        scheduler.handle(event, 0.0)
    running = deque(placement.task for placement in scheduler.place(0.0))
    churn(scheduler, running, 300)
    has = Counter(task.id for task in running)
    rounded = len(weights) - 1  # each of the others may hold up to one task more than its share
    for number, weight in enumerate(weights):
        assert has[number] == pytest.approx(len(running) * weight / sum(weights), abs=rounded)


def test_idle_capacity_is_anybodys() -> None:
    scheduler = Scheduler(weights={"poor": 0.01})
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    scheduler.handle(Enqueued(task(1), shape(), 0, 1, tenant="poor", count=10), 0.0)
    assert len(scheduler.place(0.0)) == 4


def test_a_weight_is_above_nothing() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Scheduler(weights={"t": 0.0})


@pytest.mark.parametrize("one_job", [True, False])
def test_hostile_79_a_flood_of_one_tenant_delays_others_by_their_share_only(one_job: bool) -> None:
    """100,000 tasks of one tenant wait; ten others come one by one, and each gets the next worker that is free."""
    scheduler, wanted = Scheduler(), shape(1, 100)
    for number in range(5):
        scheduler.handle(WorkerJoined(worker(f"w{number}")), 0.0)
    for number in range(1 if one_job else 100_000):
        count = 100_000 if one_job else 1
        scheduler.handle(Enqueued(task(number), wanted, 0, number, tenant="flood", count=count), 0.0)
    running = deque(placement.task for placement in scheduler.place(0.0))
    assert len(running) == 20
    churn(scheduler, running, 50)
    for other in range(10):
        scheduler.handle(Enqueued(task(200_000 + other), wanted, 0, 200_000 + other, tenant=f"t{other}"), 0.0)
    placed = churn(scheduler, running, 10)
    assert sorted(placed) == [200_000 + other for other in range(10)]


def test_hostile_79_many_tasks_of_the_other_tenant_get_half() -> None:
    scheduler = Scheduler()
    for number in range(5):
        scheduler.handle(WorkerJoined(worker(f"w{number}")), 0.0)
    small, large = shape(1, 100), shape(2, 100)
    scheduler.handle(Enqueued(task(1), small, 0, 1, tenant="flood", count=100_000), 0.0)
    running = deque(placement.task for placement in scheduler.place(0.0))
    scheduler.handle(Enqueued(task(2), large, 0, 2, tenant="other", count=50), 0.0)
    churn(scheduler, running, 60)
    cpus = Counter[int]()
    sizes: dict[int, Shape] = {1: small, 2: large}
    for each in running:
        cpus[each.id] += sizes[each.id].need.milli_cpus
    assert cpus[2] == pytest.approx(10_000, abs=2000)
