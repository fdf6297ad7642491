"""Where each microsecond goes: an array of small tasks, then single jobs of many clients, under py-spy.

Server and agent are sampled while they work; a runner is too confined for that. A sample belongs to the innermost of
our functions on the stack, with all that it calls in libraries and in C. Threads that wait are left out, and what an
event loop does between our functions is the rest of the process's CPU time: sockets, timers, wake-ups.
For a quiet machine.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks import cputime, figures, modules
from benchmarks.client import Api
from benchmarks.clients import load
from benchmarks.environments import MissingError, environment, tool
from benchmarks.grid import Grid, running, show, temporary_home
from benchmarks.sizes import scaled

TASKS, CLIENTS_S = 50_000, 6
RATE, SHOWN = 250, 14
_WAITING = re.compile(r"threading\.py|concurrent/futures/thread\.py|_next_batch|selectors\.py|popen|queue\.py")
_LOOP = "process.run"
_FRAME = re.compile(r"^(?P<function>\S+) \((?P<file>[^)]*?)(?::\d+)?\)$")


class Sampler:
    """py-spy on every process of a grid, until what is measured is done."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self._spy = str(environment("py-spy", "py-spy").with_name("py-spy"))
        self._grid, self._folder = grid, folder

    def sample(self, work: Callable[[], int]) -> dict[str, dict[str, float]]:
        """Microseconds of each thing that `work` did (it says how many), by process and function."""
        before, began = cputime.by_process(self._grid.process.pid), time.perf_counter()
        spies = [(process, self._spy_on(process)) for process in cputime.tree(self._grid.process.pid)]
        count = work()
        seconds = time.perf_counter() - began
        used = cputime.each_us(self._grid.process.pid, before, count)
        seen: dict[str, dict[str, float]] = {}
        for process, spy in spies:
            spy.send_signal(signal.SIGINT)  # it writes what it has
            try:
                spy.wait(30)
            except subprocess.TimeoutExpired:
                cputime.kill(cputime.tree(spy.pid))
            path, name = self._folder / str(process.pid), cputime.name(process)
            if path.exists():
                samples, most = folded(path.read_text(encoding="utf-8"))
                seen[name] = divided(used.get(name, 0.0), samples, seconds / max(1, most) / count * 1e6)
        return seen

    def _spy_on(self, process: psutil.Process) -> subprocess.Popen[bytes]:
        path = self._folder / str(process.pid)
        argv = [self._spy, "record", "--pid", str(process.pid), "--rate", str(RATE), "--format", "raw"]
        argv += ["--idle", "--threads"]
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*argv, "--duration", "600", "--output", str(path)], stdout=quiet, stderr=quiet)


def folded(text: str) -> tuple[Counter[str], int]:
    """Samples of what does not wait, by owner, and how many samples of each thread there are."""
    samples: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        threads[thread] += int(count)
        if frames and not _WAITING.search(frames[-1]):
            samples[owner(frames)] += int(count)
    return samples, max(threads.values(), default=0)


def owner(stack: list[str]) -> str:
    """`package/module.function`, ours if any frame is ours; frames come outermost first."""
    for frame in reversed(stack):
        found = _FRAME.match(frame)
        if found and "wasmgrid/" in found["file"]:
            return f"{found['file'].rpartition('wasmgrid/')[2].removesuffix('.py')}.{found['function']}"
    found = _FRAME.match(stack[-1])
    return found["file"].removesuffix(".py") if found else stack[-1]


def divided(us: float, samples: Counter[str], each_us: float) -> dict[str, float]:
    """`us` over what was sampled, of `each_us` a sample, largest first; the event loop gets what is left."""
    known = Counter({name: count for name, count in samples.items() if not name.endswith(_LOOP)})
    factor = min(each_us, us / known.total()) if known else 0.0  # samples also fall on who waits for a core
    parts = {name: count * factor for name, count in known.most_common(SHOWN)}
    others = known.total() * factor - sum(parts.values())
    return {**parts, "other functions": others, "event loop": us - sum(parts.values()) - others}


def main() -> None:
    """Measure, keep and show."""
    measured: dict[str, Any] = {}
    with temporary_home() as home, running(home) as grid, tempfile.TemporaryDirectory() as folder:
        api, tasks = Api(grid), scaled(TASKS)
        digest = api.module(modules.module("small.rs"))
        api.finish(api.array(digest, f"0-{scaled(TASKS // 10) - 1}")["id"])

        def array() -> int:
            api.finish(api.array(digest, f"0-{tasks - 1}")["id"])
            return tasks

        def clients() -> int:
            return int(load(tool("wrk", "wrk"), grid, digest, CLIENTS_S)["succeeded"])

        (Path(folder) / "array").mkdir()
        (Path(folder) / "single").mkdir()
        measured["array"] = Sampler(grid, Path(folder) / "array").sample(array)
        try:
            measured["single"] = Sampler(grid, Path(folder) / "single").sample(clients)
        except MissingError as reason:
            print(f"single jobs are not sampled: {reason}")
    for what, processes in measured.items():
        for name, parts in processes.items():
            show(f"{what}, {name}: {sum(parts.values()):.1f} us", [(part, f"{us:.1f}") for part, us in parts.items()])
    print(figures.save("stages", measured))


if __name__ == "__main__":
    main()
