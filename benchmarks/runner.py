"""What a runner adds to an attempt: `python benchmarks/runner.py [--attempts N] [--wasm FILE]`.

One run, alternating in slices so that a busy machine meets all alike, p50 and p99 in microseconds of

    bare     a loop in this process: a new store with WASI, limits and epoch, instantiate, run, read stdout
             from a file (in memory, on disk) or from a named pipe
    in it    the same attempt inside a runner, as the runner's own clock saw it (instantiate_ms + wall_ms)
    through  what an agent waits: frame out, attempt in a confined process, scratch cleaned, result back
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import wasmtime

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.limits import MB, Limits
from wasmgrid.runner.engine import make_engine
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import PreparedModule, RunnerTask

HELLO = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "hello\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
SLICE = 50
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
        """Microseconds of one attempt."""
        begun = time.perf_counter()
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
        output = read()
        took = time.perf_counter() - begun
        assert output
        return took * 1e6


def show(name: str, took: list[float], base: float) -> None:
    """One line of the table."""
    took.sort()
    p50, p99 = statistics.median(took), took[len(took) * 99 // 100]
    print(f"{name:34} {p50:9.0f} {p99:9.0f}   {p50 / base:5.2f}x")


async def measure(wasm: bytes, attempts: int, directory: Path) -> None:
    """Alternate between the ways and print the table."""
    memory_file = MEMORY / f"wasmgrid-bench-{os.getpid()}"
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    bare = Bare(wasm, directory)
    ways: dict[str, Callable[[], float]] = {
        "bare, file in memory": lambda: bare.run(str(memory_file), memory_file.read_bytes),
        "bare, file on disk": lambda: bare.run(str(directory / "out"), (directory / "out").read_bytes),
        "bare, named pipe": lambda: bare.run(str(pipe), lambda: os.read(reader, MB)),
    }
    took: dict[str, list[float]] = {name: [] for name in [*ways, "in a runner", "through a runner"]}
    cache, runners = ModuleCache(directory / "cache"), Runners(directory / "runners")

    async def fetch(path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, wasm)

    try:
        begun = time.perf_counter()
        await runners.start()
        start_ms = (time.perf_counter() - begun) * 1000
        spare_mb = psutil.Process(runners.pids[0]).memory_info().rss / MB
        async with cache.hold(sha256_hex(wasm), fetch) as module:
            assert isinstance(module, PreparedModule), module
            number = 0
            for part in range(-1, attempts // SLICE):
                for name, run in ways.items():
                    slice_took = [run() for _ in range(SLICE)]
                    took[name] += slice_took if part >= 0 else []  # the first slice warms up
                for _ in range(SLICE):
                    number += 1
                    task = RunnerTask(attempt=number, job_id=1, tenant="bench", module=module, limits=Limits())
                    begun = time.perf_counter()
                    report = await runners.run(task)
                    waited = time.perf_counter() - begun
                    assert report.stdout.data, report
                    if part >= 0:
                        took["through a runner"].append(waited * 1e6)
                        took["in a runner"].append((report.stats.instantiate_ms + report.stats.wall_ms) * 1000)
        runner_mb = max(psutil.Process(pid).memory_info().rss for pid in runners.pids) / MB
    finally:
        await runners.close()
        os.close(reader)
        memory_file.unlink(missing_ok=True)
    base = statistics.median(took["bare, file in memory"])
    print(f"{'':34} {'p50 us':>9} {'p99 us':>9}   to the first")
    for name, values in took.items():
        show(name, values, base)
    print(
        f"runner: ready in {start_ms:.0f} ms, {spare_mb:.0f} MB as a spare, {runner_mb:.0f} MB after {number} attempts"
    )


def main() -> int:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=2000)
    parser.add_argument("--wasm", type=Path, help="a WASI command that prints something; default: hello in WAT")
    parser.add_argument("--uvloop", action="store_true", help="measure on the loop that a worker uses")
    options = parser.parse_args()
    wasm = options.wasm.read_bytes() if options.wasm else bytes(wasmtime.wat2wasm(HELLO))
    with tempfile.TemporaryDirectory() as directory:
        work = measure(wasm, options.attempts, Path(directory))
        if options.uvloop:
            import uvloop  # noqa: PLC0415 - only where it is asked for

            uvloop.run(work)
        else:
            asyncio.run(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
