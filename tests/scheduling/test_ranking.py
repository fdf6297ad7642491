"""Which worker a task goes to, of those that it fits, and which GPUs it gets."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.scheduling.world import CAPACITY, H100, T4, World, gpus, shape, task, worker

from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Toolchain
from wasmgrid.scheduling.events import ModuleCached, WorkerJoined
from wasmgrid.scheduling.modules import REMEMBERED
from wasmgrid.scheduling.scheduler import Policy, Scheduler
from wasmgrid.scheduling.shape import build_shape


def where(world: World) -> list[str]:
    """Where tasks are placed now, in order."""
    return [placement.worker_id for placement in world.place()]


def test_preferred_labels_come_first_then_gpu_workers_are_kept_then_the_module() -> None:
    world = World()
    world.join(worker("plain"))
    world.join(worker("gpu", gpus=gpus(T4), labels={"disk": "ssd"}))
    world.join(worker("module"))
    world.scheduler.handle(ModuleCached("module", "abc"), 0.0)
    world.scheduler.handle(ModuleCached("gpu", "abc"), 0.0)
    world.scheduler.handle(ModuleCached("nobody", "abc"), 0.0)
    world.enqueue(task(1), shape(prefer=(("disk", "ssd"),)), module="abc")
    assert where(world) == ["gpu"]
    world.enqueue(task(2), shape(), module="abc")
    assert where(world) == ["module"]
    world.enqueue(task(3), shape(3), module="xyz")
    world.enqueue(task(4), shape(2), module="xyz")
    assert where(world) == ["module", "plain"]


def test_a_gpu_worker_takes_other_tasks_when_nothing_else_is_free() -> None:
    world = World()
    world.join(worker("gpu", gpus=gpus(T4)))
    world.join(worker("plain"))
    world.enqueue(task(1), shape(), count=8)
    assert where(world) == ["plain"] * 4 + ["gpu"] * 4


@pytest.mark.parametrize(("policy", "most"), [("best_fit", [4, 2]), ("spread", [2, 2, 2])])
def test_workers_are_filled_up_or_spread(policy: Policy, most: list[int]) -> None:
    world = World(policy=policy)
    for number in range(3):
        world.join(worker(f"w{number}"))
    world.enqueue(task(1), shape(), count=6)
    assert sorted(Counter(where(world)).values(), reverse=True) == most


def test_the_tightest_worker_that_fits() -> None:
    world = World()
    world.join(worker("large", capacity=CAPACITY + CAPACITY))
    world.join(worker("small"))
    world.enqueue(task(1), shape(4))
    world.enqueue(task(2), shape(6))
    assert where(world) == ["small", "large"]


def test_between_equals_it_is_even_and_the_same_each_time() -> None:
    def chosen() -> list[str]:
        world = World()
        for number in range(10):
            world.join(worker(f"w{number}"))
        found = []
        for number in range(200):
            world.enqueue(task(number), shape())
            found += where(world)
            world.end(task(number))
        return found

    first = chosen()
    assert len(set(first)) == 10
    assert first == chosen()


def test_a_toolchain_that_is_ready_before_one_that_must_be_installed() -> None:
    world = World()
    rust = Toolchain(language="rust", identity="rust-1", version="1", ready=False)
    world.join(worker("could", toolchains=[rust]))
    world.join(worker("ready", toolchains=[Toolchain(language="rust", identity="rust-1", version="1", ready=True)]))
    world.enqueue(task(1), build_shape("rust-1"))
    assert where(world) == ["ready"]


def test_the_least_gpu_that_is_enough() -> None:
    world = World()
    world.join(worker("w1", gpus=gpus(H100, T4, H100)))
    world.enqueue(task(1), shape(gpus=1))
    world.enqueue(task(2), shape(gpus=1, gpu_model="h100"))
    world.enqueue(task(3), shape(gpus=1, gpu_memory_mb=40_000))
    assert [placement.gpus for placement in world.place()] == [(1,), (0,), (2,)]
    world.end(task(2))
    world.enqueue(task(4), shape(gpus=1, gpu_model="T4"))
    world.enqueue(task(5), shape(gpus=1))
    assert {placement.task.id: placement.gpus for placement in world.place()} == {5: (0,)}


def test_a_worker_where_it_failed_before_is_the_last_choice() -> None:
    world = World()
    world.join(worker("w1"))
    world.join(worker("w2"))
    world.enqueue(task(1), shape(), avoid=frozenset({"w1"}))
    assert where(world) == ["w2"]
    world.enqueue(task(2), shape(4), avoid=frozenset({"w1"}))
    world.enqueue(task(3), shape(4))
    assert world.place()[0].task == task(3)
    world.end(task(3))
    assert where(world) == ["w1"]
    world.enqueue(task(4), shape(9), avoid=frozenset({"w1"}))
    world.join(worker("w3", capacity=CAPACITY + CAPACITY + CAPACITY))
    assert where(world) == ["w3"]


def test_who_avoids_the_only_worker_waits_no_longer_than_others() -> None:
    world = World()
    world.join(worker("w1"))
    world.adopt(task(9), "w1", shape(4))
    world.enqueue(task(1), shape(4), avoid=frozenset({"w1", "gone"}))
    world.enqueue(task(2), shape(4))
    world.end(task(9))
    assert [placement.task.id for placement in world.place()] == [1]


def test_modules_are_forgotten_oldest_first_and_with_their_worker() -> None:
    scheduler = Scheduler()
    modules = tuple(f"m{number}" for number in range(REMEMBERED + 1))
    scheduler.handle(WorkerJoined(worker("w1"), modules=modules), 0.0)
    ready = scheduler.pool.modules.ready
    assert set(ready) == set(modules[:-1])
    scheduler.handle(ModuleCached("w1", "new"), 0.0)
    assert set(ready) == {*modules[:-2], "new"}
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    assert "new" in ready
    scheduler.handle(WorkerJoined(worker("w1"), modules=()), 0.0)
    assert not ready


def test_a_worker_that_shrinks_keeps_its_tasks_and_takes_no_more() -> None:
    world = World()
    world.join(worker("w1"))
    world.enqueue(task(1), shape(), count=4)
    world.place()
    world.join(worker("w1", capacity=Resources(milli_cpus=1000, memory_mb=8000, disk_mb=8000, slots=8)))
    world.enqueue(task(2), shape(0, 1))
    world.end(task(1, 0))
    assert world.place() == []
    assert world.scheduler.pool.free("w1").milli_cpus == -2000


def test_many_workers_join_one_by_one_while_much_waits() -> None:
    world = World()
    for number in range(200):
        world.enqueue(task(number), shape(1, 500 + number), count=10)
    placed = 0
    for number in range(1500):
        world.scheduler.handle(WorkerJoined(worker(f"w{number}", labels={"host": f"h{number}"})), 0.0)
        placed += len(world.scheduler.place(0.0))
    assert placed == 2000
    assert len(world.scheduler.pool) == 1500
