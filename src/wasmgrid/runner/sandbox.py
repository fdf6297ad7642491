"""A store with one instance in it, under a run's limits, with nothing of the host but what the run names."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from itertools import islice

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime._exportable import AsExtern
from wasmtime._extern import wrap_extern

from wasmgrid.core.bundle import ROOT
from wasmgrid.runner import native
from wasmgrid.runner.engine import MAX_TABLE_ELEMENTS, MAX_TABLES
from wasmgrid.runner.frames import CALLS, MODULES, SCRATCH, STDERR, STDOUT, Run
from wasmgrid.runner.program import Program
from wasmgrid.runner.traps import Unrunnable

INDEX = "WASMGRID_TASK_INDEX"
GUEST_CALLS = b"/wasmgrid"
_TOO_SMALL = re.compile(r"memory minimum size of (\d+) pages exceeds memory limits")
_ARGV0 = "main.wasm"
_LISTED_EXPORTS = 20
_STDOUT, _STDERR, _SCRATCH = STDOUT.encode(), STDERR.encode(), SCRATCH.encode()
_FUNC, _MEMORY = ffi.WASMTIME_EXTERN_FUNC.value, ffi.WASMTIME_EXTERN_MEMORY.value


def _kind(item: ffi.wasmtime_extern_t) -> int:
    return int(item.kind)  # the library calls it a ctypes object, which it is not


class _Borrowed(wasmtime.Store):
    """A store that is a sandbox's, as the library asks for it."""

    def __init__(self, context: native.Pointer) -> None:
        self._at = ctypes.c_void_p(context)

    def _context(self) -> ctypes._Pointer[ffi.wasmtime_context_t]:
        return ctypes.cast(self._at, ctypes.POINTER(ffi.wasmtime_context_t))


class Sandbox:
    """Opened for one task, or for calls that share it, and closed; then it can be opened again, as new.

    `context` is where the store is while it is open. Only one thread uses it, but for `memory_size`.
    """

    def __init__(self, program: Program, run: Run) -> None:
        """`program` must be `run`'s. Raises UnicodeEncodeError for environments that are no text."""
        self.program = program
        self.context: native.Pointer = None
        self._store: native.Pointer = None
        self._run = run
        limits = run.limits
        self._memory_bytes = limits.memory_mb << 20
        self._fuel = limits.fuel if run.metered else None
        self._first_args = run.argv or [_ARGV0]
        self._argv = native.strings([*self._first_args, *run.args])
        env = {name: value for name, value in run.env.items() if not (run.array and name == INDEX)}
        self._env_names, self._env_values = native.strings([*env, INDEX]), native.strings([*env.values(), ""])
        self._instance, self._item = ffi.wasmtime_instance_t(), ffi.wasmtime_extern_t()
        self._memory_item, self.has_memory = ffi.wasmtime_extern_t(), False
        self.trap = ctypes.c_void_p()
        self._instance_at, self._item_at = ctypes.addressof(self._instance), ctypes.addressof(self._item)
        self._memory_item_at = ctypes.addressof(self._memory_item)
        self.memory_at = ctypes.addressof(self._memory_item.of)
        self.trap_at = ctypes.addressof(self.trap)

    def open(self, args: list[str] | None = None, stdin: bytes = b"", index: int | None = None) -> None:
        """Instantiate; a start function runs in it. `args`: other ones than the run's.

        Raises `Unrunnable` where nothing of it can run, and what a guest's code ends with; `close` it in any case.
        """
        store = self._store = native.store_new(self.program.engine_at, None, None)
        context = self.context = native.store_context(store)
        native.store_limit(store, self._memory_bytes, MAX_TABLE_ELEMENTS, 1, MAX_TABLES, 1)
        native.set_epoch_deadline(context, 1)
        if self._fuel is not None:
            self.set_fuel(self._fuel)
        native.raise_error(native.set_wasi(context, self._wasi(args, stdin, index)), self.trap)
        error = native.instantiate(self.program.pre_at, context, self._instance_at, self.trap_at)
        if error or self.trap.value:
            self._explain(error)
        self.has_memory = bool(
            native.export_get(context, self._instance_at, b"memory", 6, self._memory_item_at)
            and _kind(self._memory_item) == _MEMORY
        )

    def _explain(self, error: native.Pointer) -> None:
        try:
            native.raise_error(error, self.trap)
        except wasmtime.WasmtimeError as raised:
            text = str(raised)
            if "backtrace" in text:
                raise  # its start function ran, and failed
            if (found := _TOO_SMALL.search(text)) is not None:
                begins_mb = -(-(int(found[1]) << 16) >> 20)
                memory_mb = self._memory_bytes >> 20
                text = f"it begins with {begins_mb} MB of memory, and memory_mb is {memory_mb}; ask for more than that"
            raise Unrunnable(text) from raised

    def close(self) -> None:
        """Give everything back; what the guest had open is closed."""
        store, self._store, self.context, self.has_memory = self._store, None, None, False
        if store is not None:
            native.store_delete(store)

    def start(self) -> None:
        """Run the program: its `_start`. Raises what it ends with, if it does not return."""
        found = native.export_get(self.context, self._instance_at, b"_start", 6, self._item_at)
        if not found or _kind(self._item) != _FUNC:
            raise self.lacks("_start", "so there is nothing to run")
        results = self.program.start_results
        if results is None:
            results = self.program.start_results = self._look_at_start()
        space = (ffi.wasmtime_val_t * results)() if results else None
        error = native.call(self.context, ctypes.addressof(self._item.of), None, 0, space, results, self.trap_at)
        if error or self.trap.value:
            native.raise_error(error, self.trap)

    def _look_at_start(self) -> int:
        kind = self.type_of("_start")
        if kind is None or kind.params:
            raise Unrunnable("its _start takes parameters; a program's takes none and returns nothing")
        return len(kind.results)

    def lacks(self, name: str, so: str) -> Unrunnable:
        """The error that the module has no function `name`; it lists what there is."""
        names = [repr(one) for one in islice(self._exports(), _LISTED_EXPORTS)]
        there = ", ".join(names) or "nothing"
        return Unrunnable(f"the module exports no function {name}, {so}; it exports {there}")

    # ---- exports

    def function(self, name: str) -> ffi.wasmtime_func_t | None:
        """The exported function `name`, to be called natively while this is open; None where there is none."""
        raw = name.encode()
        if not native.export_get(self.context, self._instance_at, raw, len(raw), self._item_at):
            return None
        return ffi.wasmtime_func_t.from_buffer_copy(self._item.of.func) if _kind(self._item) == _FUNC else None

    def type_of(self, name: str) -> wasmtime.FuncType | None:
        """The type of the exported function `name`, or None."""
        function = self.function(name)
        return None if function is None else wasmtime.Func._from_raw(function).type(_Borrowed(self.context))  # noqa: SLF001 - no other way

    def functions(self) -> list[str]:
        """The names of the exported functions."""
        return [name for name, item in self._exports().items() if isinstance(item, wasmtime.Func)]

    def memory_size(self) -> int:
        """Bytes; reads one word, also while the guest runs."""
        return native.memory_size(self.context, self.memory_at) if self.has_memory else 0

    def memory_most(self) -> int | None:
        """The bytes that the module itself lets its memory grow to, where it says so."""
        if not self.has_memory:
            return None
        memory = wrap_extern(self._memory_item)
        most = memory.type(_Borrowed(self.context)).limits.max if isinstance(memory, wasmtime.Memory) else None
        return None if most is None else most << 16

    def _exports(self) -> Mapping[str, AsExtern]:
        raw = self._instance
        return wasmtime.Instance._from_raw(raw).exports(_Borrowed(self.context))  # noqa: SLF001 - no other way

    # ---- fuel, WASI

    def set_fuel(self, fuel: int) -> None:
        """From now on it has so much."""
        native.raise_error(native.set_fuel(self.context, fuel), self.trap)

    def fuel_left(self) -> int:
        """How much is left; only where it is metered."""
        left = ctypes.c_uint64(0)
        native.raise_error(native.get_fuel(self.context, ctypes.addressof(left)), self.trap)
        return left.value

    def _wasi(self, args: list[str] | None, stdin: bytes, index: int | None) -> int:
        run, config = self._run, native.wasi_new()
        argv = self._argv if args is None else native.strings([*self._first_args, *args])
        good = native.wasi_set_argv(config, len(argv), argv)
        names = len(self._env_names) - 1
        if index is not None:
            self._env_values[names] = b"%d" % index
            names += 1
        if names:
            good = native.wasi_set_env(config, names, self._env_names, self._env_values) and good
        if stdin:
            raw = ffi.wasm_byte_vec_t()
            native.bytes_new(ctypes.addressof(raw), len(stdin), stdin)
            native.wasi_set_stdin_bytes(config, ctypes.addressof(raw))
        elif run.stdin_file is not None:
            good = native.wasi_set_stdin_file(config, run.stdin_file.encode()) and good
        good = native.wasi_set_stdout_file(config, _STDOUT) and native.wasi_set_stderr_file(config, _STDERR) and good
        good = native.wasi_preopen(config, _SCRATCH, b"/", True) and good
        if run.bundle is not None:
            good = native.wasi_preopen(config, f"{MODULES}/{run.bundle}".encode(), ROOT.encode(), False) and good
            if run.function is not None:
                os.makedirs(CALLS, exist_ok=True)
                good = native.wasi_preopen(config, CALLS.encode(), GUEST_CALLS, False) and good
        for mount in run.mounts:
            good = native.wasi_preopen(config, mount.host.encode(), mount.guest.encode(), False) and good
        if not good:
            native.wasi_delete(config)
            raise wasmtime.WasmtimeError("its arguments, environment, files or directories could not be set up")
        return int(config)
