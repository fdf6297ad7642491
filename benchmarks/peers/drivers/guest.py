"""A task by the shortest way: a fresh instance under limits out of a pool, run, its output read through a pipe.

The bare loop calls this, and so do the workers of Ray, Dask and Celery: all run guests exactly alike, on the engine
that wasmgrid's runners use.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from pathlib import Path

import wasmtime

from wasmgrid.runner.engine import make_engine

_MEMORY_BYTES = 64 << 20
_PIPE_BYTES = 1 << 20


class Program:
    """A module, compiled and linked, and the pipe that its instances print to."""

    def __init__(self, path: str) -> None:
        self._engine = make_engine(metered=False, pooled=True)
        linker = wasmtime.Linker(self._engine)
        linker.define_wasi()
        self._pre = linker.instantiate_pre(wasmtime.Module.from_file(self._engine, path))
        self._folder = Path(tempfile.mkdtemp(prefix="wasmgrid-bench-"))
        (self._folder / "root").mkdir()
        self._pipe = str(self._folder / "stdout")
        os.mkfifo(self._pipe)
        self._reader = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)

    def run(self, index: int) -> bytes:
        """What one task prints."""
        config = wasmtime.WasiConfig()
        config.argv = ["main.wasm", str(index)]
        config.stdout_file = self._pipe
        config.preopen_dir(str(self._folder / "root"), "/", True)
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=_MEMORY_BYTES, table_elements=100_000, instances=1, tables=4, memories=1)
        store.set_epoch_deadline(1)
        store.set_wasi(config)
        start = self._pre.instantiate(store).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        with contextlib.suppress(wasmtime.ExitTrap):
            start(store)
        store.close()
        return os.read(self._reader, _PIPE_BYTES)


@functools.cache
def program(path: str) -> Program:
    """The program of this process for a module: compiled by the first task that needs it."""
    return Program(path)


def run(path: str, index: int) -> bytes:
    """One task."""
    return program(path).run(index)
