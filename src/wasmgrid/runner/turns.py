"""How a guest that serves calls says "here is the answer; what is next?": a function of WASI that is given new sense.

It is the one that sets a file's times: every interpreter has a way to call it, and hardly any program does. With a time
that no file has, its path is the answer; in all other uses it says that it is not supported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import wasmtime

_AT_NS = 7_309_000_000
_NOT_SUPPORTED = 58  # WASI's ENOTSUP

Turn = Callable[[int, int], None]
"""Told where in the guest's memory its answer is, and its size; returns when there is another call."""

turns: dict[int, Turn] = {}
"""By the thread that the guest runs in."""


def define(linker: wasmtime.Linker, modules: tuple[str, ...]) -> None:
    """Put it in the place of WASI's."""
    i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
    kind = wasmtime.FuncType([i32, i32, i32, i32, i64, i64, i32], [i32])
    for name in modules:
        linker.define_func(name, "path_filestat_set_times", kind, _set_times)


def _set_times(_fd: int, _flags: int, path: int, size: int, accessed: int, _modified: int, _which: int) -> int:
    turn = turns.get(threading.get_ident())
    if turn is None or accessed != _AT_NS:
        return _NOT_SUPPORTED
    turn(path & 0xFFFFFFFF, size & 0xFFFFFFFF)
    return 0
