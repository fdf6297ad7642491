"""Whatever happens, in whatever order: nothing is over-committed, lost or doubled, and nothing waits that could run.

A walk is a few hundred events, known and unknown, drawn from one seed; `World` checks every answer.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduling.world import H100, T4, World, gpus, shape, task, worker

from wasmgrid.core.job import TaskId
from wasmgrid.core.worker import Toolchain
from wasmgrid.scheduling.scheduler import Policy
from wasmgrid.scheduling.shape import Shape, build_shape

RUST = Toolchain(language="rust", identity="rust-1", version="1", ready=True)
WORKERS = ("w1", "w2", "w3", "w4")
STEPS = 150


def some_shape(dice: Random) -> Shape:
    """Small, big and impossible ones, with and without wishes."""
    kind = dice.random()
    if kind < 0.1:
        return build_shape("rust-1")
    time_limit_s = dice.choice((10.0, 600.0, 5000.0))
    if kind < 0.3:
        wanted: dict[str, Any] = {"gpus": dice.randint(1, 3), "gpu_model": dice.choice((None, "H100", "T4"))}
        return shape(0.5, 500, gpu_memory_mb=dice.choice((0, 40_000)), time_limit_s=time_limit_s, **wanted)
    return shape(
        dice.choice((0.5, 1, 1, 2, 4, 5)),
        dice.choice((100, 1000, 6000)),
        time_limit_s=time_limit_s,
        require=dice.choice(((), (), (("arch", "arm64"),))),
        prefer=dice.choice(((), (("disk", "ssd"),))),
    )


class Walk:
    """One way through the events."""

    def __init__(self, seed: int, policy: Policy) -> None:
        self.dice = Random(seed)
        self.world = World(policy=policy, weights={"a": 3.0})
        self.jobs = 0

    def run(self) -> None:
        """Step by step; what may start is placed after most of them."""
        steps = [self.join, *[self.enqueue] * 3, *[self.end] * 4, self.adopt, self.withdraw, self.again, self.go]
        steps += [self.unknown, self.wait]
        for _ in range(STEPS):
            self.dice.choice(steps)()
            if self.dice.random() < 0.7:
                self.place()

    def join(self) -> None:
        dice, worker_id = self.dice, self.dice.choice(WORKERS)
        here = dice.choice(([], [], gpus(T4), gpus(H100, T4), gpus(H100, H100, T4)))
        known = self.world.workers.get(worker_id)
        if known is not None and known.info.gpus != here:
            self.world.go(worker_id)  # a worker whose GPUs are others is another life of it
        info = worker(
            worker_id,
            gpus=here,
            labels=dice.choice(({}, {"arch": "arm64"}, {"arch": "x86_64", "disk": "ssd"})),
            toolchains=dice.choice(([], [RUST])),
            builds_only=dice.random() < 0.1,
        )
        stays = dice.choice((None, None, 700.0))
        closed = dice.choice(("", "", "", "it is cordoned"))
        self.world.join(info, closed=closed, ends_at=None if stays is None else self.world.now + stays)

    def go(self) -> None:
        if self.dice.random() < 0.5:
            self.world.go(self.dice.choice(WORKERS))

    def enqueue(self) -> None:
        self.jobs += 1
        dice = self.dice
        avoid = dice.choice((frozenset[str](), frozenset[str](), frozenset({"w1"}), frozenset({"w1", "w2"})))
        self.world.enqueue(
            task(self.jobs),
            some_shape(dice),
            priority=dice.choice((0, 0, 0, 5)),
            count=dice.randint(1, 6),
            tenant=dice.choice("ab"),
            avoid=avoid,
        )

    def again(self) -> None:
        """Some of it waits already, and stays where it is."""
        first = self.one_of(self.world.waiting)
        if first is not None:
            self.world.enqueue(first, self.world.waiting[first].shape, count=self.dice.randint(1, 4))

    def withdraw(self) -> None:
        waiting = self.one_of(self.world.waiting)
        if waiting is not None:
            self.world.withdraw(waiting)

    def unknown(self) -> None:
        nobody = task(self.jobs + 1, self.dice.randint(0, 5))
        self.world.withdraw(nobody)
        self.world.end(nobody)
        self.world.go("nobody")
        self.world.adopt(nobody, "nobody", shape())
        assert not self.world.scheduler.fits_now("nobody", shape(), ())

    def end(self) -> None:
        ended = self.one_of(self.world.held)
        if ended is None:
            return
        at, wanted, _, tenant = self.world.held[ended]
        self.world.end(ended)
        if self.dice.random() < 0.3:
            self.world.enqueue(ended, wanted, order=ended.id, tenant=tenant, avoid=frozenset({at}))

    def adopt(self) -> None:
        """As the leader does: only what fits, with GPUs that are free; also a task that waits or is held elsewhere."""
        wanted, worker_id = some_shape(self.dice), self.dice.choice(WORKERS)
        if worker_id not in self.world.workers or not self.world.fits(wanted, worker_id):
            return
        free = tuple(sorted(self.world.free_gpus(wanted, worker_id))[: wanted.need.gpus])
        assert self.world.scheduler.fits_now(worker_id, wanted, free)
        self.jobs += 1
        known = self.one_of(self.dice.choice((self.world.waiting, self.world.held, {})))
        self.world.adopt(known or task(self.jobs), worker_id, wanted, free)

    def wait(self) -> None:
        self.world.now += self.dice.choice((0.1, 5.0, 400.0))

    def place(self) -> None:
        """Those of one shape go by priority, unless a worker is kept for somebody."""
        before = dict(self.world.waiting)
        placed = {before[placement.task] for placement in self.world.place()}
        if not len(self.world.scheduler.reservations):
            for waits in self.world.waiting.values():
                later = [event for event in placed if event.shape == waits.shape and event.priority < waits.priority]
                assert waits.avoid or not later
        assert self.world.place() == []

    def one_of(self, tasks: dict[TaskId, Any]) -> TaskId | None:
        return self.dice.choice(sorted(tasks)) if tasks else None


@pytest.mark.parametrize("policy", ["best_fit", "spread"])
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=60)
def test_any_sequence_of_events_keeps_the_promises(policy: Policy, seed: int) -> None:
    Walk(seed, policy).run()
