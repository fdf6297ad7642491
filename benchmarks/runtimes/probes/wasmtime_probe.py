"""wasmtime through wasmtime-py, as `cranelift` or `winch`, with the `pool` or `no-pool`: VARIANT before the module.

As a worker does it: limits, an epoch, one root directory, output through a named pipe.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import _ffi as ffi

from benchmarks.runtimes.probes.report import report
from wasmgrid.runner import engine as runner_engine

_WINCH = 2  # wasmtime_strategy_enum; the library's own `strategy` does not know it


def make_engine(compiler: str, *, pooled: bool) -> wasmtime.Engine:
    """A worker's engine, or the same with the other compiler (the worker's stack limit is Cranelift's)."""
    if compiler == "cranelift":
        return runner_engine.make_engine(metered=False, pooled=pooled)
    config = wasmtime.Config()
    ffi.wasmtime_config_strategy_set(config.ptr(), _WINCH)
    config.epoch_interruption = True
    config.parallel_compilation = False
    config.wasm_threads = False
    if pooled:
        runner_engine._pool(config, 1 << 20)  # noqa: SLF001 - the same pool, whichever the compiler
    return wasmtime.Engine(config)


class Runtime:
    """One module."""

    def __init__(self, variant: str, path: Path) -> None:
        self._compiler, _, pool = variant.partition(" ")
        self._pooled = pool == "pool"
        self._wasm = path.read_bytes()
        self._folder = tempfile.mkdtemp()
        self._pipe = f"{self._folder}/stdout"
        os.mkfifo(self._pipe)
        self._reader = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)

    @functools.cached_property
    def _ready(self) -> tuple[wasmtime.Engine, wasmtime.InstancePre]:
        engine = make_engine(self._compiler, pooled=self._pooled)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        return engine, linker.instantiate_pre(wasmtime.Module(engine, self._wasm))

    def run(self, args: list[str]) -> bytes:
        """One run in a fresh instance."""
        engine, pre = self._ready
        config = wasmtime.WasiConfig()
        config.argv = ["main.wasm", *args]
        config.stdout_file = self._pipe
        config.preopen_dir(self._folder, "/", True)
        store = wasmtime.Store(engine)
        store.set_limits(memory_size=1 << 30, table_elements=100_000, instances=1, tables=4, memories=1)
        store.set_epoch_deadline(1)
        store.set_wasi(config)
        start = pre.instantiate(store).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        with contextlib.suppress(wasmtime.ExitTrap):
            start(store)
        store.close()
        return os.read(self._reader, 1 << 16)


if __name__ == "__main__":
    runtime = Runtime(sys.argv.pop(1), Path(sys.argv[1]))
    report(f"wasmtime {version('wasmtime')}", runtime.run)
