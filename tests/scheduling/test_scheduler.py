"""Placements: only where it fits, by priority and age, never over capacity."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.job import TaskId
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Gpu, Toolchain, WorkerInfo
from wasmgrid.scheduling.events import Ended, Enqueued, Withdrawn, WorkerGone, WorkerJoined
from wasmgrid.scheduling.explain import explain, mismatches
from wasmgrid.scheduling.scheduler import Scheduler
from wasmgrid.scheduling.shape import Shape, build_shape

CAPACITY = Resources(milli_cpus=4000, memory_mb=8000, disk_mb=8000, slots=8)

H100 = [Gpu(index=0, model="H100", memory_mb=80000)]


def worker(worker_id: str, **changes: object) -> WorkerInfo:
    fields: dict[str, object] = {"id": worker_id, "incarnation": "1", "version": "1", "capacity": CAPACITY}
    return WorkerInfo(**(fields | changes))  # type: ignore[arg-type]


def shape(cpus: int = 1000, memory_mb: int = 1000, **changes: object) -> Shape:
    return Shape(need=Resources(milli_cpus=cpus, memory_mb=memory_mb, slots=1), **changes)  # type: ignore[arg-type]


def task(number: int) -> TaskId:
    return TaskId("run", number, 0)


def test_priority_then_age() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    for number, priority in [(1, 0), (2, 5), (3, 0), (4, 5)]:
        scheduler.handle(Enqueued(task(number), shape(cpus=1000 + number), priority, number), 0.0)
    assert [placement.task.id for placement in scheduler.place(0.0)] == [2, 4, 1]


def test_a_task_that_comes_back_keeps_its_place() -> None:
    scheduler = Scheduler()
    for number in (2, 3, 1):
        scheduler.handle(Enqueued(task(number), shape(), 0, number), 0.0)
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    assert [placement.task.id for placement in scheduler.place(0.0)] == [1, 2, 3]


def test_a_shape_that_does_not_fit_holds_up_nobody() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    scheduler.handle(Enqueued(task(1), shape(memory_mb=100_000), 0, 1), 0.0)
    scheduler.handle(Enqueued(task(2), shape(), 0, 2), 0.0)
    assert [placement.task.id for placement in scheduler.place(0.0)] == [2]


def test_gpu_workers_are_kept_for_gpu_tasks() -> None:
    scheduler = Scheduler()
    scheduler.handle(
        WorkerJoined(worker("gpu", capacity=CAPACITY + Resources(gpus=1), gpus=H100)),
        0.0,
    )
    scheduler.handle(WorkerJoined(worker("plain")), 0.0)
    scheduler.handle(Enqueued(task(1), shape(), 0, 1), 0.0)
    assert [placement.worker_id for placement in scheduler.place(0.0)] == ["plain"]


def test_required_and_preferred_labels() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerJoined(worker("a", labels={"arch": "x86_64"})), 0.0)
    scheduler.handle(WorkerJoined(worker("b", labels={"arch": "arm64"})), 0.0)
    scheduler.handle(WorkerJoined(worker("c", labels={"arch": "arm64", "disk": "ssd"})), 0.0)
    scheduler.handle(Enqueued(task(1), shape(require=(("arch", "arm64"),), prefer=(("disk", "ssd"),)), 0, 1), 0.0)
    assert [placement.worker_id for placement in scheduler.place(0.0)] == ["c"]


def test_builds_go_where_the_toolchain_is_and_builders_only_build() -> None:
    rust = Toolchain(language="rust", identity="rust-1", version="1", ready=True)
    scheduler = Scheduler()
    scheduler.handle(WorkerJoined(worker("plain")), 0.0)
    scheduler.handle(WorkerJoined(worker("builder", toolchains=[rust], builds_only=True)), 0.0)
    scheduler.handle(Enqueued(TaskId("build", 1), build_shape("rust-1"), 0, 1), 0.0)
    scheduler.handle(Enqueued(task(2), shape(), 0, 2), 0.0)
    placed = {placement.task.kind: placement.worker_id for placement in scheduler.place(0.0)}
    assert placed == {"build": "builder", "run": "plain"}


def test_mismatches_name_what_is_missing_and_why_says_what_would_fit() -> None:
    scheduler = Scheduler()
    info = worker("w1", labels={"arch": "x86_64"})
    scheduler.handle(WorkerJoined(info), 0.0)
    wanted = shape(cpus=9000, require=(("arch", "arm64"),))
    assert mismatches(wanted, info) == [
        "needs 9 cpus, it has 4 cpus",
        "needs the label arch=arm64, it has arch=x86_64",
    ]
    why = explain(shape(cpus=9000), scheduler, 0.0)
    assert why.workers[0].change == "--cpus 4"
    assert why.reason == "no worker fits: w1: needs 9 cpus, it has 4 cpus; --cpus 4 would fit"
    assert "no worker has joined" in explain(wanted, Scheduler(), 0.0).reason


def test_why_names_the_busy_worker() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    for number in range(1, 6):
        scheduler.handle(Enqueued(task(number), shape(), 0, number), 0.0)
    scheduler.place(0.0)
    assert explain(shape(), scheduler, 0.0).reason.startswith("waiting for w1: needs 1 cpus, 0 cpus free")


requests = st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(-1, 1))


@given(st.lists(requests, max_size=40), st.integers(0, 4), st.randoms(use_true_random=False))
def test_capacity_is_never_exceeded_and_nothing_that_fits_waits(
    asked: list[tuple[int, int, int]], workers: int, random: object
) -> None:
    scheduler = Scheduler()
    running: dict[TaskId, tuple[str, Shape]] = {}
    shapes: dict[TaskId, Shape] = {}
    for number in range(workers):
        scheduler.handle(WorkerJoined(worker(f"w{number}")), 0.0)
    for number, (cpus, memory, priority) in enumerate(asked):
        shapes[task(number)] = shape(cpus * 1000, memory * 1000)
        scheduler.handle(Enqueued(task(number), shapes[task(number)], priority, number), 0.0)
        for placement in scheduler.place(0.0):
            assert placement.task not in running
            running[placement.task] = (placement.worker_id, shapes[placement.task])
        _check(scheduler, running)
        if running and number % 3 == 0:
            ended = random.choice(sorted(running))  # type: ignore[attr-defined]
            running.pop(ended)
            scheduler.handle(Ended(ended), 0.0)
        elif number % 7 == 5:
            scheduler.handle(Withdrawn(task(number)), 0.0)
    for placement in scheduler.place(0.0):
        running[placement.task] = (placement.worker_id, shapes[placement.task])
    _check(scheduler, running)
    assert True


def _check(scheduler: Scheduler, running: dict[TaskId, tuple[str, Shape]]) -> None:
    for info in scheduler.pool.infos():
        used = sum((one.need for worker_id, one in running.values() if worker_id == info.id), Resources())
        assert scheduler.pool.free(info.id) == info.capacity - used
        assert Resources().fits_in(scheduler.pool.free(info.id))


def test_a_worker_that_goes_takes_its_capacity_with_it() -> None:
    scheduler = Scheduler()
    scheduler.handle(WorkerJoined(worker("w1")), 0.0)
    scheduler.handle(WorkerGone("w1"), 0.0)
    scheduler.handle(Enqueued(task(1), shape(), 0, 1), 0.0)
    assert scheduler.place(0.0) == []
    scheduler.handle(Ended(task(1)), 0.0)
    assert scheduler.pool.infos() == []
