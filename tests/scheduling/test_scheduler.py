"""Placements: only where it fits, oldest first, and what does not fit holds up nobody."""

from __future__ import annotations

from tests.scheduling.world import World, shape, task, worker

from wasmgrid.core.job import TaskId
from wasmgrid.core.worker import Toolchain
from wasmgrid.scheduling.shape import build_shape


def placed(world: World) -> list[int]:
    """The jobs that are placed now, in order."""
    return [placement.task.id for placement in world.place()]


def test_priority_then_age() -> None:
    world = World()
    world.join(worker("w1"))
    for number, priority in [(1, 0), (2, 5), (3, 0), (4, 5)]:
        world.enqueue(task(number), shape(1 + number / 1000), priority=priority)
    assert placed(world) == [2, 4, 1]


def test_a_task_that_comes_back_keeps_its_place() -> None:
    world = World()
    for number in (2, 3, 1):
        world.enqueue(task(number), shape(), order=number)
    world.join(worker("w1"))
    assert placed(world) == [1, 2, 3]


def test_a_shape_that_does_not_fit_holds_up_nobody() -> None:
    world = World()
    world.join(worker("w1"))
    world.enqueue(task(1), shape(1, 100_000))
    world.enqueue(task(2), shape())
    assert placed(world) == [2]


def test_required_labels() -> None:
    world = World()
    world.join(worker("a", labels={"arch": "x86_64"}))
    world.join(worker("b", labels={"arch": "arm64"}))
    world.enqueue(task(1), shape(4, require=(("arch", "arm64"),)), count=2)
    assert [placement.worker_id for placement in world.place()] == ["b"]


def test_builds_go_where_the_toolchain_is_and_builders_only_build() -> None:
    rust = Toolchain(language="rust", identity="rust-1", version="1", ready=True)
    world = World()
    world.join(worker("plain"))
    world.join(worker("builder", toolchains=[rust], builds_only=True))
    world.enqueue(TaskId("build", 1), build_shape("rust-1"))
    world.enqueue(task(2), shape())
    assert {placement.task.kind: placement.worker_id for placement in world.place()} == {
        "build": "builder",
        "run": "plain",
    }


def test_a_worker_that_goes_takes_its_capacity_and_what_it_held_with_it() -> None:
    world = World()
    world.join(worker("w1"))
    world.enqueue(task(1), shape(), tenant="t")
    world.place()
    assert world.scheduler.shares.of("t") == 0.25
    world.go("w1")
    assert world.scheduler.shares.of("t") == 0.0
    world.enqueue(task(2), shape())
    assert placed(world) == []
    world.end(task(1))
    assert world.scheduler.pool.infos() == []


def test_a_worker_whose_life_ends_takes_what_ends_before() -> None:
    world = World()
    world.join(worker("w1"), ends_at=100.0)
    world.enqueue(task(1), shape(time_limit_s=101.0))
    world.enqueue(task(2), shape(time_limit_s=100.0))
    assert placed(world) == [2]
    world.join(worker("w1"))
    assert placed(world) == [1]
