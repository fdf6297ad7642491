"""What a runner adds to a task: `python benchmarks/runner.py [--tasks N] [--wasm FILE]`.

One run, alternating in slices so that a busy machine meets all alike. CPU microseconds of a task, p50 and p99:

    bare      a loop in this process: a new store with WASI, limits and epoch, instantiate, run, read stdout from a
              file (in memory) or from a named pipe
    chunk     the same tasks in chunks through a confined runner: what the runner used for each, all in it (frames,
              limits, output, a clean scratch, results), and what the agent used
    single    each task a chunk of its own, and the wall time that an agent waits for one
    calls     a function called in one instance, or in a fresh one each time (`isolate`)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import wasmtime

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.limits import MB, Limits
from wasmgrid.runner.engine import make_engine
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import PreparedModule, RunnerChunk, Tasks

HELLO = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "hello\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
CALLEE = r"""(module (memory (export "memory") 2)
  (func (export "wasmgrid_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "wasmgrid_call") (param i32 i32) (result i64)
    (i32.store8 (i32.const 4095) (i32.const 61))
    (i64.or (i64.const 17587891077120) (i64.extend_i32_u (i32.add (local.get 1) (i32.const 1))))))"""
SLICE, CALLS = 200, 20
MEMORY = Path("/dev/shm" if sys.platform == "linux" else "/tmp")  # noqa: S108 - its name has our pid in it


class Bare:
    """The loop that anyone would write, with the runner's own engine."""

    def __init__(self, wasm: bytes, directory: Path) -> None:
        self._engine = make_engine(metered=False, pooled=True)
        linker = wasmtime.Linker(self._engine)
        linker.define_wasi()
        self._program = linker.instantiate_pre(wasmtime.Module(self._engine, wasm))
        self._root = directory / "root"
        self._root.mkdir()

    def run(self, stdout: str, read: Callable[[], bytes]) -> float:
        """CPU microseconds of a slice's tasks, each."""
        begun = time.process_time()
        for _ in range(SLICE):
            self._run(stdout, read)
        return (time.process_time() - begun) / SLICE * 1e6

    def _run(self, stdout: str, read: Callable[[], bytes]) -> None:
        config = wasmtime.WasiConfig()
        config.argv = ["main.wasm"]
        config.stdout_file = stdout
        config.preopen_dir(str(self._root), "/", True)
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=1000 * MB, table_elements=1_000_000, instances=1, tables=100, memories=1)
        store.set_epoch_deadline(1)
        store.set_wasi(config)
        start = self._program.instantiate(store).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        with contextlib.suppress(wasmtime.ExitTrap):
            start(store)
        store.close()
        assert read()


class Grid:
    """One module in the runners of an agent that is this process."""

    def __init__(self, runners: Runners, module: PreparedModule) -> None:
        self._runners = runners
        self._module = module
        self._attempts = itertools.count(1)

    async def run(self, count: int, **rest: Any) -> tuple[float, float, float]:
        """CPU microseconds of the runner and of this process, and wall microseconds, for each of a chunk's tasks."""
        chunk = RunnerChunk(
            attempt=next(self._attempts),
            job_id=1,
            tenant="bench",
            module=self._module,
            limits=Limits(),
            array=True,
            tasks=Tasks(count=count, **rest.pop("tasks", {})),
            **rest,
        )
        ended = 0

        def heard(reports: list[Any], ranges: list[Any]) -> None:
            nonlocal ended
            ended += len(reports) + sum(part.count for part in ranges)

        before, own, begun = self._used(), time.process_time(), time.perf_counter()
        await self._runners.run_chunk(chunk, heard)
        wall, own, used = time.perf_counter() - begun, time.process_time() - own, self._used()
        assert ended == count, ended
        grown = sum(used[pid] - before.get(pid, 0.0) for pid in used if pid in before)
        return grown / count * 1e6, own / count * 1e6, wall / count * 1e6

    def _used(self) -> dict[int, float]:
        return {pid: cpu_s(pid) for pid in self._runners.pids}


def cpu_s(pid: int) -> float:
    """Seconds of CPU of a process so far, to the nanosecond where the kernel tells."""
    total = 0.0
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0]) / 1e9
        return total
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def show(name: str, took: list[float], base: float) -> None:
    """One line of the table."""
    took.sort()
    p50, p99 = statistics.median(took), took[len(took) * 99 // 100]
    print(f"{name:38} {p50:9.1f} {p99:9.1f}   {p50 / base:6.2f}x")


async def measure(wasm: bytes, tasks: int, directory: Path) -> None:
    """Alternate between the ways and print the table."""
    memory_file = MEMORY / f"wasmgrid-bench-{os.getpid()}"
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    bare = Bare(wasm, directory)
    ways: dict[str, Callable[[], float]] = {
        "bare, file in memory": lambda: bare.run(str(memory_file), memory_file.read_bytes),
        "bare, named pipe": lambda: bare.run(str(pipe), lambda: os.read(reader, MB)),
    }
    took: dict[str, list[float]] = {}
    cache, runners = ModuleCache(directory / "cache"), Runners(directory / "runners")
    lines = b"\n".join(b"[%d]" % number for number in range(SLICE * CALLS))
    calls = {"function": "f", "tasks": {"lines": lines, "use": "call"}}
    try:
        begun = time.perf_counter()
        await runners.start()
        start_ms = (time.perf_counter() - begun) * 1000
        spare_mb = psutil.Process(runners.pids[0]).memory_info().rss / MB
        async with prepared(cache, wasm) as module, prepared(cache, bytes(wasmtime.wat2wasm(CALLEE))) as callee:
            grid, functions = Grid(runners, module), Grid(runners, callee)
            for part in range(-1, tasks // SLICE):
                row = {name: run() for name, run in ways.items()}
                row["chunk, runner"], row["chunk, agent"], _ = await grid.run(SLICE)
                singles = [await grid.run(1) for _ in range(SLICE // 4)]
                for at, name in enumerate(("single, runner", "single, agent", "single, wall")):
                    row[name] = statistics.median(single[at] for single in singles)
                row["call, runner"], row["call, agent"], row["call, wall"] = await functions.run(SLICE * CALLS, **calls)
                row["isolated call, runner"], *_ = await functions.run(SLICE * 2, isolate=True, **calls)
                for name, value in row.items():
                    if part >= 0:  # the first slice warms up
                        took.setdefault(name, []).append(value)
        runner_mb = max(psutil.Process(pid).memory_info().rss for pid in runners.pids) / MB
    finally:
        await runners.close()
        os.close(reader)
        memory_file.unlink(missing_ok=True)
    base = statistics.median(took["bare, file in memory"])
    print(f"{'CPU of each':38} {'p50 us':>9} {'p99 us':>9}   to the first")
    for name, values in took.items():
        show(name, values, base)
    print(f"calls: {1e6 / statistics.median(took['call, wall']):.0f}/s in one runner")
    print(f"runner: ready in {start_ms:.0f} ms, {spare_mb:.0f} MB as a spare, {runner_mb:.0f} MB in the end")


def prepared(cache: ModuleCache, wasm: bytes) -> contextlib.AbstractAsyncContextManager[PreparedModule | Any]:
    """A module as a worker has it."""

    async def fetch(path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, wasm)

    return cache.hold(sha256_hex(wasm), fetch)


def main() -> int:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--wasm", type=Path, help="a WASI command that prints something; default: hello in WAT")
    parser.add_argument("--uvloop", action="store_true", help="measure on the loop that a worker uses")
    options = parser.parse_args()
    wasm = options.wasm.read_bytes() if options.wasm else bytes(wasmtime.wat2wasm(HELLO))
    with tempfile.TemporaryDirectory() as directory:
        work = measure(wasm, options.tasks, Path(directory))
        if options.uvloop:
            import uvloop  # noqa: PLC0415 - only where it is asked for

            uvloop.run(work)
        else:
            asyncio.run(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
