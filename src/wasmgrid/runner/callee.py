"""A function to call in an open sandbox: one that the build made (docs/functions.md), or a plain export of numbers.

Both take the JSON of a call and answer in the same words: `=` and the JSON of what came back, `?` and why the arguments
do not fit, `!` and how the function itself failed.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

import wasmtime
from wasmtime import _ffi as ffi

from wasmgrid.core.job import INLINE_BYTES
from wasmgrid.runner import native
from wasmgrid.runner.answers import TooLarge
from wasmgrid.runner.numeric import Numeric
from wasmgrid.runner.sandbox import Sandbox
from wasmgrid.runner.traps import Unrunnable

_ALLOC, _CALL = "wasmgrid_alloc", "wasmgrid_call"
_SIGNATURES = {_ALLOC: (["i32"], ["i32"]), _CALL: (["i32", "i32"], ["i64"])}
_LEAST_ROOM = 1024
_LISTED = 40
_WORD = 0xFFFFFFFF


class Callee(Protocol):
    """A function of an open sandbox."""

    def call(self, given: bytes) -> bytes:
        """The answer to one call. Raises what a guest's code ends with, `TooLarge`, and `Unrunnable`."""


def find(sandbox: Sandbox, name: str) -> Callee:
    """What to call for the function `name`; raises `Unrunnable` where there is no such thing.

    `_initialize`, where it is exported, has run by then: so this raises what a guest's code ends with, too.
    """
    known = sandbox.program.functions
    if name not in known:
        known[name] = _look(sandbox, name)
    initialize = sandbox.function("_initialize")
    if initialize is not None:
        error = native.call(sandbox.context, ctypes.addressof(initialize), None, 0, None, 0, sandbox.trap_at)
        if error or sandbox.trap.value:
            native.raise_error(error, sandbox.trap)
    kind = known[name]
    return _Built(sandbox) if kind is None else Numeric(sandbox, name, kind)


def _look(sandbox: Sandbox, name: str) -> wasmtime.FuncType | None:
    """None where the build made the module for calls, else the type of the export."""
    if sandbox.has_memory and all(_is(sandbox.type_of(one), wanted) for one, wanted in _SIGNATURES.items()):
        return None
    kind = sandbox.type_of(name)
    if kind is None:
        raise Unrunnable(f"the module exports no function {name}; it exports {_listed(sandbox.functions())}")
    if not Numeric.takes(kind):
        raise Unrunnable(f"{name} takes or returns something else than numbers; a grid cannot call it")
    return kind


def _is(kind: wasmtime.FuncType | None, wanted: tuple[list[str], list[str]]) -> bool:
    return kind is not None and ([str(one) for one in kind.params], [str(one) for one in kind.results]) == wanted


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_LISTED])
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown or "none"


class _Built:
    """`wasmgrid_call`, with one place in the guest's memory where calls are written as long as they fit."""

    def __init__(self, sandbox: Sandbox) -> None:
        alloc, call = sandbox.function(_ALLOC), sandbox.function(_CALL)
        if alloc is None or call is None:
            raise Unrunnable(f"the module has lost its {_CALL}")  # `_look` has seen both
        self._functions = (alloc, call)  # kept alive: these are where they are
        self._alloc_at, self._call_at = ctypes.addressof(alloc), ctypes.addressof(call)
        self._context, self._memory_at = sandbox.context, sandbox.memory_at
        self._trap, self._trap_at = sandbox.trap, sandbox.trap_at
        self._raw = (ffi.wasmtime_val_raw_t * 2)()
        self._raw_at = ctypes.addressof(self._raw)
        self._first = ctypes.c_uint32.from_buffer(self._raw, 0)
        self._second = ctypes.c_uint32.from_buffer(self._raw, ctypes.sizeof(ffi.wasmtime_val_raw_t))
        self._packed = ctypes.c_uint64.from_buffer(self._raw, 0)
        self._base = self._size = self._at = self._room = 0

    def call(self, given: bytes) -> bytes:
        """The answer to one call."""
        length = len(given)
        if length > self._room:
            self._make_room(length)
        ctypes.memmove(self._base + self._at, given, length)
        self._first.value, self._second.value = self._at, length
        error = native.call_unchecked(self._context, self._call_at, self._raw_at, 2, self._trap_at)
        if error or self._trap.value:
            native.raise_error(error, self._trap)
        packed = self._packed.value
        at, length = packed >> 32, packed & _WORD
        if length > INLINE_BYTES + 1:
            raise TooLarge(f"the function returned {length - 1} bytes; a result holds {INLINE_BYTES}")
        if self._look() < at + length:
            raise Unrunnable(f"{_CALL} answered from outside its memory")
        return ctypes.string_at(self._base + at, length)

    def _make_room(self, length: int) -> None:
        self._first.value = wanted = max(length, _LEAST_ROOM)
        error = native.call_unchecked(self._context, self._alloc_at, self._raw_at, 1, self._trap_at)
        if error or self._trap.value:
            native.raise_error(error, self._trap)
        self._at = self._first.value
        if not self._at:
            raise Unrunnable(f"the guest has no memory for a call of {length} bytes")
        if self._look() < self._at + wanted:
            raise Unrunnable(f"{_ALLOC} answered from outside its memory")
        self._room = wanted

    def _look(self) -> int:
        """The memory's size; where it has grown it may have moved."""
        size: int = native.memory_size(self._context, self._memory_at)
        if size != self._size:
            self._size, self._base = size, native.memory_data(self._context, self._memory_at)
        return size
