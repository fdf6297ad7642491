"""Big tasks start although small ones never end coming, and workers do not stand idle for it longer than needed."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduling.world import H100, T4, World, gpus, shape, task, worker

from wasmgrid.scheduling.events import Ended

BIG = shape(4, 4000)


def full(*, limits: tuple[float, ...], workers: int = 1) -> World:
    """Workers full of one-cpu tasks with these time limits, and a big task that waits for one of them."""
    world = World()
    for number in range(1, workers + 1):
        world.join(worker(f"w{number}"))
        for index, limit in enumerate(limits):
            world.adopt(task(1000 + number, index), f"w{number}", shape(time_limit_s=limit * number))
    world.enqueue(task(1), BIG)
    assert world.place() == []
    return world


def test_the_first_that_does_not_fit_gets_the_worker_that_is_free_earliest() -> None:
    world = full(limits=(10, 20, 30, 40), workers=3)
    reservation = next(filter(None, map(world.scheduler.reservations.at, range(3))))
    assert world.scheduler.pool.info_at(reservation.row).id == "w1"
    assert reservation.starts_at == 40


def test_what_ends_before_it_may_go_there_and_what_does_not_may_not() -> None:
    world = full(limits=(10, 100, 100, 100))
    world.enqueue(task(2), shape(time_limit_s=99))
    world.enqueue(task(3), shape(time_limit_s=80))
    world.now = 10.0
    world.end(task(1001, 0))
    assert [placement.task.id for placement in world.place()] == [3]
    assert 2 in {waiting.id for waiting in world.waiting}


def test_what_leaves_its_room_may_go_there_however_long_it_runs() -> None:
    world = World()
    world.join(worker("w1"))
    for index in range(4):
        world.adopt(task(9, index), "w1", shape(time_limit_s=100))
    world.enqueue(task(1), shape(3, 3000))
    world.enqueue(task(2), shape(time_limit_s=5000))
    world.enqueue(task(3), shape(time_limit_s=5000))
    assert world.place() == []
    world.end(task(9, 0))
    assert [placement.task.id for placement in world.place()] == [2]
    world.end(task(9, 1))
    assert world.place() == []
    world.end(task(9, 2))
    world.end(task(9, 3))
    assert [placement.task.id for placement in world.place()] == [1]


def test_a_higher_priority_takes_the_room() -> None:
    world = full(limits=(100, 100, 100, 100))
    world.enqueue(task(2), shape(), priority=1)
    world.end(task(1001, 0))
    assert [placement.task.id for placement in world.place()] == [2]


def test_nothing_is_kept_for_what_could_never_run_here() -> None:
    world = World()
    world.join(worker("w1"))
    world.enqueue(task(1), shape(100))
    world.enqueue(task(2), shape(), count=5)
    world.place()
    assert len(world.held) == 4
    world.end(task(2, 0))
    assert [placement.task for placement in world.place()] == [task(2, 4)]


def test_a_worker_that_joins_gives_hope() -> None:
    world = full(limits=(100, 100, 100, 100))
    world.enqueue(task(2), shape(gpus=1))
    world.place()
    world.join(worker("w2", gpus=gpus(T4), labels={"small": "yes"}))
    assert {placement.task.id: placement.worker_id for placement in world.place()} == {1: "w2"}


def test_the_worker_is_free_for_all_again_when_the_task_is_withdrawn_or_the_worker_closes() -> None:
    world = full(limits=(100, 100, 100, 100), workers=2)
    world.enqueue(task(2), shape(time_limit_s=5000))
    world.end(task(1001, 0))
    assert world.place() == []
    world.join(worker("w1"), closed="it is draining")
    assert world.place() == []
    world.end(task(1002, 0))
    assert world.place() == []
    world.withdraw(task(1))
    assert [(placement.task.id, placement.worker_id) for placement in world.place()] == [(2, "w2")]


def test_a_reservation_that_is_late_moves_to_a_worker_that_does_better() -> None:
    """What runs at w1 should have ended long ago; w2, which came in between to be free, is kept instead."""
    world = full(limits=(10, 10, 10, 10), workers=2)
    world.enqueue(task(2), shape(time_limit_s=1000))
    world.now = 25.0
    for index in range(3):
        world.end(task(1002, index))
        assert world.place() == []
    world.end(task(1002, 3))
    assert [(placement.task.id, placement.worker_id) for placement in world.place()] == [(1, "w2")]


def test_gpus_are_kept_as_well() -> None:
    world = World()
    world.join(worker("w1", gpus=gpus(H100, T4)))
    world.adopt(task(8), "w1", shape(gpus=1, time_limit_s=100), (0,))
    world.enqueue(task(1), shape(gpus=1, gpu_model="H100"))
    assert world.place() == []
    world.enqueue(task(2), shape(gpus=1, time_limit_s=1000))
    world.enqueue(task(3), shape(gpus=1, time_limit_s=50))
    assert [(placement.task.id, placement.gpus) for placement in world.place()] == [(3, (1,))]
    world.end(task(8))
    assert [(placement.task.id, placement.gpus) for placement in world.place()] == [(1, (0,))]


@given(
    dice=st.randoms(use_true_random=False),
    workers=st.sampled_from([1, 2, 3, 7, 17, 80]),
    limit=st.sampled_from([20.0, 600.0]),
    tenants=st.integers(1, 3),
)
@settings(max_examples=25)
def test_a_stream_of_small_tasks_starves_nobody(dice: Random, workers: int, limit: float, tenants: int) -> None:
    """Small tasks of the default time limit, or shorter, always more than fit: the big ones start all the same."""
    world, bigs = World(), 3
    small, next_job = shape(1, 1000, time_limit_s=limit), 100
    for number in range(workers):
        world.join(worker(f"w{number}"))
    ends: list[tuple[float, int]] = []
    started: dict[int, float] = {}
    while len(started) < bigs:
        assert world.now <= bigs * (limit + BIG.time_limit_s) + 1, f"after {world.now} s: {started}"
        while len(world.waiting) < 4 * workers + 5:
            world.enqueue(task(next_job), small, tenant=f"t{next_job % tenants}", order=next_job)
            next_job += 1
        for placement in world.scheduler.place(world.now):
            event = world.waiting.pop(placement.task)
            if event.shape is BIG:
                started[placement.task.id] = world.now
            lasts = dice.uniform(event.shape.time_limit_s / 2, event.shape.time_limit_s)
            ends.append((world.now + lasts, placement.task.id))
        if next_job == 100 + 4 * workers + 5:  # everything is full: now the big ones come
            for number in range(bigs):
                world.enqueue(task(number), BIG, tenant=f"t{number % tenants}", order=next_job)
            next_job += 1
        ends.sort(reverse=True)
        world.now, ended = ends.pop()
        world.scheduler.handle(Ended(task(ended)), world.now)
