"""A module ready to start: loaded from its precompiled file, linked with WASI, kept for the next attempt."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from itertools import islice

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime._exportable import AsExtern
from wasmtime._extern import wrap_extern

from wasmgrid.runner.engine import MAX_TABLE_ELEMENTS, MAX_TABLES, Engines
from wasmgrid.runner.frames import MODULES, SCRATCH, STDERR, STDOUT, Attempt
from wasmgrid.runner.traps import GuestExit, Unrunnable

_KEPT_PROGRAMS = 16
_ARGV0 = "main.wasm"
_LISTED_EXPORTS = 20
_WASI = ("wasi_snapshot_preview1", "wasi_unstable")


class Program:
    """One module on one engine; instances of it are made and dropped per attempt."""

    def __init__(self, engine: wasmtime.Engine, pre: wasmtime.InstancePre) -> None:
        self.engine = engine
        self.pre = pre


class Programs:
    """The programs of one runner, the last used ones kept."""

    def __init__(self) -> None:
        self._engines = Engines()
        self._linkers: dict[tuple[bool, bool], wasmtime.Linker] = {}
        self._kept: OrderedDict[tuple[str, bool], Program] = OrderedDict()

    def load(self, module: str, *, metered: bool) -> Program:
        """The program in box/modules/`module`; raises `Unrunnable` where it cannot be loaded or linked."""
        key = (module, metered)
        program = self._kept.get(key)
        if program is None:
            program = self._kept[key] = self._load(module, metered)
            if len(self._kept) > _KEPT_PROGRAMS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return program

    def _load(self, module: str, metered: bool) -> Program:
        try:
            return self._load_on(module, metered=metered, pooled=True)
        except wasmtime.WasmtimeError as error:
            if "pooling allocator" not in str(error):
                raise Unrunnable(str(error)) from error
        try:  # too many tables, or too large ones: slower, but without such limits
            return self._load_on(module, metered=metered, pooled=False)
        except wasmtime.WasmtimeError as error:
            raise Unrunnable(str(error)) from error

    def _load_on(self, module: str, *, metered: bool, pooled: bool) -> Program:
        engine = self._engines.get(metered=metered, pooled=pooled)
        loaded = wasmtime.Module.deserialize_file(engine, f"{MODULES}/{module}")
        key = (metered, pooled)
        if key not in self._linkers:
            self._linkers[key] = _linker(engine)
        return Program(engine, self._linkers[key].instantiate_pre(loaded))


def _linker(engine: wasmtime.Engine) -> wasmtime.Linker:
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True  # the library's own proc_exit refuses codes above 125
    kind = wasmtime.FuncType([wasmtime.ValType.i32()], [])
    for name in _WASI:
        linker.define_func(name, "proc_exit", kind, _proc_exit)
    return linker


def _proc_exit(code: int) -> None:
    raise GuestExit(code)


def make_store(program: Program, attempt: Attempt) -> wasmtime.Store:
    """A fresh store under the attempt's limits, with nothing of the host in it but what the attempt names."""
    store = wasmtime.Store(program.engine)
    store.set_limits(
        memory_size=attempt.limits.memory_mb << 20,
        table_elements=MAX_TABLE_ELEMENTS,
        instances=1,
        tables=MAX_TABLES,
        memories=1,
    )
    store.set_epoch_deadline(1)
    if attempt.metered and attempt.limits.fuel is not None:
        store.set_fuel(attempt.limits.fuel)
    store.set_wasi(_wasi(attempt))
    return store


def _wasi(attempt: Attempt) -> wasmtime.WasiConfig:
    config = wasmtime.WasiConfig()
    config.argv = [_ARGV0, *attempt.args]
    if attempt.env:
        config.env = list(attempt.env.items())
    if attempt.stdin_file is not None:
        config.stdin_file = attempt.stdin_file
    elif attempt.stdin:
        ffi.wasi_config_set_stdin_bytes(config.ptr(), ctypes.byref(ffi.bytes_to_capi(attempt.stdin)))
    config.stdout_file, config.stderr_file = STDOUT, STDERR
    config.preopen_dir(SCRATCH, "/", True)
    for mount in attempt.mounts:
        config.preopen_dir(mount.host, mount.guest, False)
    return config


def find_export(store: wasmtime.Store, instance: wasmtime.Instance, name: str) -> AsExtern | None:
    """One export by name. The library's own mapping lists all of them first, however many a module has."""
    item, raw = ffi.wasmtime_extern_t(), name.encode()
    context, handle = store._context(), ctypes.byref(instance._instance)  # noqa: SLF001 - the library has no such call
    found = ffi.wasmtime_instance_export_get(context, handle, raw, len(raw), ctypes.byref(item))
    return wrap_extern(item) if found else None


def entry(store: wasmtime.Store, instance: wasmtime.Instance) -> wasmtime.Func:
    """The function to call; raises `Unrunnable` that lists the exports where there is none."""
    start = find_export(store, instance, "_start")
    if isinstance(start, wasmtime.Func):
        return start
    names = [repr(name) for name in islice(instance.exports(store), _LISTED_EXPORTS)]
    raise Unrunnable(
        f"the module exports no function _start, so there is nothing to run; it exports {', '.join(names) or 'nothing'}"
    )
