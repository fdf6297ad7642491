"""The scheduling core alone over ever more workers, all full, a million tasks waiting: each completion frees one.

`python -m benchmarks.scale` measures and prints; `--plot` draws docs/scale.svg as well. Each pool lives in a process of
its own, so that its memory can be told; they take turns, so that a busy moment of the machine falls on all.
"""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from statistics import median

import msgspec
import psutil

from benchmarks.grid import show
from benchmarks.plot import Panel, draw
from wasmgrid.core.job import TaskId
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.scheduling.events import Ended, Enqueued, WorkerJoined
from wasmgrid.scheduling.scheduler import Scheduler
from wasmgrid.scheduling.shape import Shape

WORKERS = (100, 300, 1000, 3000, 10_000)
TASKS, SHAPES, TENANTS, PRIORITIES, IN_ARRAY = 1_000_000, 200, 5, 2, 1000
ROUNDS, PLACEMENTS = 9, 10_000
CAPACITY = Resources(milli_cpus=8000, memory_mb=32_000, disk_mb=100_000, slots=16)
PLOT = Path(__file__).parents[1] / "docs" / "scale.svg"


class Filled(msgspec.Struct):
    """How a pool came to be: CPU seconds until all had joined and all that fits was placed, and the memory of it."""

    placed: int
    fill_s: float
    memory_mb: float


class Turn(msgspec.Struct):
    """One turn in the steady state."""

    per_s: float
    cpu_us: float


def shapes() -> list[Shape]:
    """Requests of many sizes and time limits; one in ten requires a label, one in ten prefers one."""
    dice = random.Random(1)
    return [
        Shape(
            need=Resources(
                milli_cpus=dice.choice((250, 500, 1000, 2000, 4000)),
                memory_mb=dice.randrange(200, 8000),
                disk_mb=1000,
                slots=1,
            ),
            time_limit_s=dice.choice((60.0, 600.0, 3600.0)),
            require=(("disk", "ssd"),) if number % 10 == 0 else (),
            prefer=(("zone", "a"),) if number % 10 == 1 else (),
        )
        for number in range(SHAPES)
    ]


class Pool:
    """A scheduler with so many workers, all full, and `TASKS` in arrays of `in_array`."""

    def __init__(self, workers: int, in_array: int) -> None:
        wanted, process = shapes(), psutil.Process()
        gc.collect()
        before, began = process.memory_info().rss, time.process_time()
        self.scheduler, self.now = Scheduler(weights={"t0": 2.0}), 0.0
        for number in range(workers):
            labels = {"disk": "ssd" if number % 4 == 0 else "hdd", "zone": "ab"[number % 2], "host": f"h{number}"}
            info = WorkerInfo(id=f"w{number}", incarnation="1", version="1", capacity=CAPACITY, labels=labels)
            self.scheduler.handle(WorkerJoined(info), self.now)
        for number in range(TASKS // in_array):
            task, shape = TaskId("run", number), wanted[number % SHAPES]
            priority, tenant, module = number % PRIORITIES, f"t{number % TENANTS}", f"m{number % 50}"
            self.scheduler.handle(
                Enqueued(task, shape, priority, number, tenant=tenant, module=module, count=in_array), self.now
            )
        self.running = deque(placement.task for placement in self.scheduler.place(self.now))
        self.dice = random.Random(workers)
        memory_mb = (process.memory_info().rss - before) / (1 << 20)
        self.filled = Filled(len(self.running), time.process_time() - began, memory_mb)

    def turn(self) -> Turn:
        """Tasks end one by one, and each time what fits is placed."""
        scheduler, running, placed = self.scheduler, self.running, 0
        began, cpu = time.perf_counter(), time.process_time()
        while placed < PLACEMENTS:
            self.now += 5e-5
            running.rotate(self.dice.randrange(100))
            scheduler.handle(Ended(running.popleft()), self.now)
            new = scheduler.place(self.now)
            placed += len(new)
            running.extend([placement.task for placement in new])
        cpu_us = (time.process_time() - cpu) / placed * 1e6
        return Turn(placed / (time.perf_counter() - began), cpu_us)


def serve(workers: int, in_array: int) -> None:
    """Build the pool, say so, and take a turn for each line that comes."""
    pool = Pool(workers, in_array)
    print(msgspec.json.encode(pool.filled).decode(), flush=True)
    pool.turn()
    gc.collect()
    gc.freeze()
    for _ in sys.stdin:
        print(msgspec.json.encode(pool.turn()).decode(), flush=True)


class Child:
    """A pool in a process of its own."""

    def __init__(self, workers: int, in_array: int = IN_ARRAY) -> None:
        argv = [sys.executable, "-m", "benchmarks.scale", str(workers), str(in_array)]
        self.workers, self.turns = workers, list[Turn]()
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.filled = msgspec.json.decode(self._line(), type=Filled)

    def turn(self) -> None:
        """Let it take one."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.turns.append(msgspec.json.decode(self._line(), type=Turn))

    def end(self) -> None:
        """It leaves when nothing more can come."""
        self._process.communicate(timeout=60)

    @property
    def per_s(self) -> float:
        """Placements a second, by the clock on the wall."""
        return median(turn.per_s for turn in self.turns)

    @property
    def cpu_us(self) -> float:
        """CPU time per placement."""
        return median(turn.cpu_us for turn in self.turns)

    @property
    def words(self) -> str:
        """All of it for people."""
        filled = self.filled
        first = f"first {filled.placed} placed, all joining included, in {filled.fill_s:.2f} s of CPU"
        return f"{self.cpu_us:.1f} us of CPU a placement, {self.per_s:.0f}/s, {filled.memory_mb:.0f} MB; {first}"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main() -> None:
    """Measure over all worker counts; draw it where that is asked for."""
    single = Child(WORKERS[-1], in_array=1)
    single.end()
    children = [Child(workers) for workers in WORKERS]
    for _ in range(ROUNDS):
        for child in children:
            child.turn()
    for child in children:
        child.end()
    rows = [(f"{child.workers} workers", child.words) for child in children]
    show(f"scheduling core, {TASKS} tasks in arrays of {IN_ARRAY}, {SHAPES} shapes", rows)
    ratio = children[-1].cpu_us / children[0].cpu_us
    show("at most 1.5", [(f"CPU per placement, {WORKERS[-1]} workers against {WORKERS[0]}", f"{ratio:.2f}")])
    show("a million single jobs", [(f"{WORKERS[-1]} workers", f"{single.filled.memory_mb:.0f} MB")])
    if "--plot" in sys.argv:
        plot(children)


def plot(children: list[Child]) -> None:
    """What was measured as a picture."""
    panels = [
        Panel("placements per second of CPU", [1e6 / child.cpu_us for child in children], promised=20_000),
        Panel("CPU us per placement", [child.cpu_us for child in children], promised=1.5 * children[0].cpu_us),
        Panel("memory, MB", [child.filled.memory_mb for child in children]),
    ]
    PLOT.write_text(draw(list(WORKERS), panels), encoding="utf-8")


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[1:] if word.isdigit()]
    serve(*counts) if counts else main()
