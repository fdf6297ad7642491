"""Why a task waits: per worker the mismatch and the smallest change that fits, and one sentence in all."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.scheduling.test_properties import some_shape
from tests.scheduling.world import CAPACITY, H100, T4, World, gpus, shape, task, worker

from wasmgrid.core.resources import Resources, milli
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.explain import explain, mismatches
from wasmgrid.scheduling.shape import Shape


def why(world: World, wanted: Shape, worker_id: str = "w1") -> tuple[list[str], str | None]:
    """(mismatches, change) of one worker."""
    answer = next(one for one in explain(wanted, world.scheduler, world.now).workers if one.worker_id == worker_id)
    return answer.mismatches, answer.change


def one_worker(info: WorkerInfo | None = None, **more: object) -> World:
    world = World()
    world.join(info or worker("w1"), **more)  # type: ignore[arg-type]
    return world


def test_what_is_missing_and_what_would_fit() -> None:
    world = one_worker(worker("w1", labels={"arch": "x86_64"}))
    wanted = shape(9, require=(("arch", "arm64"), ("disk", "ssd")))
    assert mismatches(wanted, worker("w1", labels={"arch": "x86_64"})) == [
        "needs 9 cpus, it has 4 cpus",
        "needs the label arch=arm64, it has arch=x86_64",
        "needs the label disk=ssd, it has no disk",
    ]
    assert why(world, wanted)[1] == "--cpus 4 --require arch=x86_64 without --require disk=ssd"
    reason = explain(shape(9), world.scheduler, 0.0).reason
    assert reason == "no worker fits: w1: needs 9 cpus, it has 4 cpus; it would fit with --cpus 4"
    assert "no worker has joined" in explain(shape(), World().scheduler, 0.0).reason


def test_gpus_by_model_and_memory() -> None:
    world = one_worker(worker("w1", gpus=gpus(T4, T4)))
    there = "it has 2 Tesla T4 of 15000 MB"
    assert why(world, shape(gpus=3)) == (["needs 3 gpus, it has 2 gpus"], "--gpus 2")
    assert why(world, shape(gpus=1, gpu_model="H100")) == ([f"needs 1 H100 gpu, {there}"], "--gpu-model 'Tesla T4'")
    assert why(world, shape(gpus=2, gpu_memory_mb=40_000)) == (
        [f"needs 2 gpus of 40000 MB, {there}"],
        "--gpu-memory-mb 15000",
    )
    both = shape(gpus=1, gpu_model="H100", gpu_memory_mb=40_000)
    assert why(world, both) == ([f"needs 1 H100 gpu of 40000 MB, {there}"], "--gpu-memory-mb 15000 without --gpu-model")
    mixed = one_worker(worker("w1", gpus=gpus(T4, H100)))
    assert why(mixed, shape(gpus=2, gpu_model="H100"))[1] == "without --gpu-model"
    mixed.adopt(task(1), "w1", shape(gpus=1, gpu_model="H100"), (1,))
    assert why(mixed, shape(gpus=1, gpu_model="H100")) == (["needs 1 H100 gpu, 0 of them free"], None)


def test_a_worker_that_leaves_too_early() -> None:
    world = one_worker(ends_at=330.0)
    world.now = 30.0
    assert why(world, shape()) == (["may run for 600 s, it leaves in 300 s"], "--time-limit 300s")
    assert not world.scheduler.pool.ever_fits(shape())
    assert world.scheduler.pool.ever_fits(shape(time_limit_s=300))


def test_a_closed_worker_says_why_and_how_to_open_it() -> None:
    world = one_worker(closed="it is quarantined: 3 tasks that failed there succeeded elsewhere")
    assert why(world, shape())[1] == "wasmgrid uncordon w1"
    assert explain(shape(), world.scheduler, 0.0).reason == (
        "waiting for w1: it is quarantined: 3 tasks that failed there succeeded elsewhere; "
        "to let it take tasks: wasmgrid uncordon w1"
    )
    world.join(worker("w1"), closed="it is draining")
    assert why(world, shape()) == (["it is draining"], None)
    assert world.scheduler.pool.ever_fits(shape())


def test_the_busy_worker_and_the_one_that_is_held_free() -> None:
    world = one_worker()
    for index in range(4):
        world.adopt(task(9, index), "w1", shape(time_limit_s=50))
    assert explain(shape(), world.scheduler, 0.0).reason == "waiting for w1: needs 1 cpu, 0 cpus free"
    world.enqueue(task(1), shape(4))
    world.enqueue(task(2), shape())
    world.place()
    for index in range(2):
        world.end(task(9, index))
    world.place()
    assert why(world, shape()) == (["held free for job 1"], None)
    assert explain(shape(), world.scheduler, 0.0).reason == "waiting for w1: held free for job 1"
    assert explain(shape(4), world.scheduler, 20.0).reason == (
        "waiting for w1: needs 4 cpus, 2 cpus free; held free for it, at most 30 s more"
    )


def test_the_nearest_workers_give_the_same_sort_of_reason() -> None:
    world = World()
    for number in range(20):
        world.join(worker(f"w{number}"), closed="" if number % 2 else "it is cordoned")
    for number in range(20):
        world.adopt(task(number), f"w{number}", shape(4 - number / 10))
    for wanted in (shape(1), shape(3), shape(5)):
        few, every = (explain(wanted, world.scheduler, 0.0, most=most) for most in (3, None))
        assert len(few.workers) == 3
        assert re.sub(r"w\d+", "w", few.reason)[:24] == re.sub(r"w\d+", "w", every.reason)[:24]
    world.go("w19")
    assert explain(shape(), world.scheduler, 0.0, most=3).reason == "about to be assigned"


def changed(wanted: Shape, change: str) -> Shape:
    """The shape with the flags of `change`."""
    need = wanted.need
    more: dict[str, Any] = {}
    for flag, value in re.findall(r"--(\S+)(?: ('[^']+'|[^-\s]\S*))?", change):
        text = value.strip("'")
        match flag:
            case "cpus":
                need = replace(need, milli_cpus=milli(float(text)))
            case "memory-mb" | "disk-mb" | "gpus":
                need = replace(need, **{flag.replace("-", "_"): int(text)})
            case "gpu-memory-mb":
                more["gpu_memory_mb"] = int(text)
            case "gpu-model":
                more["gpu_model"] = text or None
            case "time-limit":
                more["time_limit_s"] = float(text.rstrip("s"))
            case "require":
                key, _, label = text.partition("=")
                kept = dict(wanted.require) | {key: label}
                if f"without --require {text}" in change:
                    del kept[key]
                more["require"] = tuple(sorted(kept.items()))
    return replace(wanted, need=need, **more)


@given(st.randoms(use_true_random=False), st.sampled_from([None, 300.0]))
def test_the_change_that_is_named_fits(dice: Random, ends_at: float | None) -> None:
    here = dice.choice(([], gpus(T4), gpus(H100, T4), gpus(H100, H100, T4)))
    capacity = CAPACITY + Resources(gpus=len(here))
    info = worker("w1", gpus=here, capacity=capacity, labels=dice.choice(({}, {"arch": "x86_64"})))
    world = one_worker(info, ends_at=ends_at)
    wanted = some_shape(dice)
    reasons, change = why(world, wanted)
    assert bool(reasons) == (not world.fits(wanted, "w1"))
    if change is not None:
        assert world.fits(changed(wanted, change), "w1"), change
    else:
        assert not reasons or wanted.toolchain
