"""A module ready to start: loaded from its precompiled file, linked with WASI, kept for the next attempt."""

from __future__ import annotations

import os
from collections import OrderedDict

import wasmtime

from wasmgrid.runner import native
from wasmgrid.runner.engine import Engines
from wasmgrid.runner.frames import MODULES
from wasmgrid.runner.traps import GuestExit, Unrunnable
from wasmgrid.runner.turns import define

_KEPT_PROGRAMS = 16
_LARGE_BYTES = 4 << 20  # of machine code and data: a language's whole runtime is in it
_WASI = ("wasi_snapshot_preview1", "wasi_unstable")


class Program:
    """One module on one engine; instances of it are made and dropped per task.

    `start_results`: how many values its `_start` returns, `functions`: the types of those that were called (None: made
    for calls by a build), once that is known.
    """

    def __init__(self, engine: wasmtime.Engine, pre: wasmtime.InstancePre) -> None:
        self.engine = engine
        self.engine_at = native.address(engine)
        self.pre_at = native.address(pre)
        self.start_results: int | None = None
        self.functions: dict[str, wasmtime.FuncType | None] = {}
        self._pre = pre


class Programs:
    """The programs of one runner, the last used ones kept."""

    def __init__(self) -> None:
        self._engines = Engines()
        self._linkers: dict[tuple[bool, bool, bool, bool], wasmtime.Linker] = {}
        self._kept: OrderedDict[tuple[str, bool, bool], Program] = OrderedDict()

    def load(self, module: str, *, metered: bool, serves: bool = False) -> Program:
        """The program in box/modules/`module`; raises `Unrunnable` where it cannot be loaded or linked.

        `serves`: it is an interpreter that is to serve calls.
        """
        key = (module, metered, serves)
        program = self._kept.get(key)
        if program is None:
            program = self._kept[key] = self._load(module, metered, serves)
            if len(self._kept) > _KEPT_PROGRAMS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return program

    def _load(self, module: str, metered: bool, serves: bool) -> Program:
        try:
            return self._load_on(module, metered=metered, pooled=True, serves=serves)
        except (wasmtime.WasmtimeError, OSError) as error:
            if "pooling allocator" not in str(error):
                raise Unrunnable(str(error)) from error
        try:  # too many tables, or too large ones: slower, but without such limits
            return self._load_on(module, metered=metered, pooled=False, serves=serves)
        except wasmtime.WasmtimeError as error:
            raise Unrunnable(str(error)) from error

    def _load_on(self, module: str, *, metered: bool, pooled: bool, serves: bool) -> Program:
        path = f"{MODULES}/{module}"
        large = os.stat(path).st_size >= _LARGE_BYTES
        engine = self._engines.get(metered=metered, pooled=pooled, large=large)
        loaded = wasmtime.Module.deserialize_file(engine, path)
        key = (metered, pooled, large, serves)
        if key not in self._linkers:
            self._linkers[key] = _linker(engine, serves=serves)
        return Program(engine, self._linkers[key].instantiate_pre(loaded))


def _linker(engine: wasmtime.Engine, *, serves: bool) -> wasmtime.Linker:
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True  # the library's own proc_exit refuses codes above 125
    kind = wasmtime.FuncType([wasmtime.ValType.i32()], [])
    for name in _WASI:
        linker.define_func(name, "proc_exit", kind, _proc_exit)
    if serves:
        define(linker, _WASI)
    return linker


def _proc_exit(code: int) -> None:
    raise GuestExit(code)
