"""Runs of tasks: one entry for an array, split and joined as tasks leave and come back."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.world import World, shape, task, worker

from wasmgrid.core.job import TaskId
from wasmgrid.scheduling.events import Chunked, Ended, Enqueued
from wasmgrid.scheduling.pool import Pool
from wasmgrid.scheduling.queue import Queue, Run

KEY = (0, 0, shape(), frozenset[str]())


def entries(queue: Queue) -> int:
    """How many runs there are."""
    return sum(1 if isinstance(runs, Run) else len(runs) for runs in queue._runs.values())


def drained(queue: Queue) -> list[TaskId]:
    """Everything, in the order in which it comes."""
    tasks = []
    while len(queue):
        slot = queue.groups.find(KEY)
        assert slot is not None
        tasks += together(*queue.pop(queue.groups[slot]))
    return tasks


def together(first: TaskId, count: int) -> list[TaskId]:
    """The tasks that were taken at once."""
    return [task(first.id, first.index + more) for more in range(count)]


def test_an_array_of_a_million_is_one_entry_however_it_comes() -> None:
    queue = Queue(Pool())
    gc.collect()
    tracemalloc.start()
    queue.push(task(1), key=KEY, order=1, module="m", count=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(queue), entries(queue)) == (1_000_000, 1)
    assert peak < 100_000
    for index in range(1000):
        queue.push(task(2, index), key=KEY, order=2, module="m", count=1)
    assert entries(queue) == 2


def test_withdrawn_of_one_index_splits_and_what_comes_back_keeps_its_age() -> None:
    queue = Queue(Pool())
    queue.push(task(2), key=KEY, order=2, module="", count=5)
    queue.remove(task(2, 2))
    assert entries(queue) == 2
    assert task(2, 2) not in queue
    assert task(2, 3) in queue
    queue.push(task(3), key=KEY, order=3, module="", count=1)
    queue.push(task(1, 7), key=KEY, order=1, module="", count=1)
    queue.push(task(2, 2), key=KEY, order=2, module="", count=1)
    assert [(each.id, each.index) for each in drained(queue)] == [(1, 7), *((2, index) for index in range(5)), (3, 0)]
    assert entries(queue) == 0


@given(st.randoms(use_true_random=False))
def test_a_queue_is_a_set_with_an_order(dice: Random) -> None:
    queue, waiting, sizes = Queue(Pool()), set[TaskId](), dict[int, int]()
    for _ in range(60):
        job, index, count = dice.randint(1, 3), dice.randint(0, 12), dice.randint(1, 6)
        match dice.choice(("push", "push", "remove", "pop", "chunk")):
            case "push":
                queue.push(task(job, index), key=KEY, order=job, module="", count=count)
                waiting.update(task(job, index + more) for more in range(count))
            case "remove":
                queue.remove(task(job, index), count)
                waiting.difference_update(task(job, index + more) for more in range(count))
            case "chunk":
                queue.chunk(task(job), count)
                sizes[job] = count
            case _:
                slot = queue.groups.find(KEY)
                if slot is not None:
                    popped = together(*queue.pop(queue.groups[slot]))
                    first = min(waiting)
                    assert popped == together(first, len(popped))
                    assert 1 <= len(popped) <= sizes.get(first.id, 1)
                    assert waiting.issuperset(popped)
                    waiting.difference_update(popped)
        assert len(queue) == len(waiting)
        assert set(queue.tasks()) == waiting
    assert drained(queue) == sorted(waiting)


def test_a_chunk_takes_the_room_of_one_task() -> None:
    world = World()
    world.join(worker("w1"))
    world.scheduler.handle(Chunked(task(1), 400), world.now)
    world.scheduler.handle(Enqueued(task(1), shape(cpus=2), 0, 1, count=1000), world.now)
    placed = world.scheduler.place(world.now)
    assert [(one.task.index, one.count) for one in placed] == [(0, 400), (400, 400)]
    world.scheduler.handle(Ended(task(1, 400)), world.now)
    [last] = world.scheduler.place(world.now)
    assert (last.task.index, last.count) == (800, 200)


def test_a_group_that_empties_leaves_nothing_behind() -> None:
    world = World()
    world.join(worker("w1"))
    for number in range(500):
        world.enqueue(task(number), shape(1, 100 + number, require=(("n", str(number)),)))
    for number in range(500):
        world.withdraw(task(number))
    groups = world.scheduler.queue.groups
    assert not groups.waiting.any()
    world.enqueue(task(1), shape())
    assert len(world.place()) == 1
    for number in range(500):
        world.enqueue(task(number), shape(9, 100 + number, require=(("n", str(number)),)))
        world.withdraw(task(number))
    assert world.scheduler.pool.suits.table.shape[1] <= 1024
