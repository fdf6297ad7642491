"""The runtime's C functions as every task calls them: a score, on bare pointers, without the library's objects.

wasmtime-py makes a Python object with a finalizer for each thing and looks a function's type up at each call: a third
of what a small task costs. What is needed once per module, and every error, still goes through the library.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime._func import maybe_raise_last_exn

Pointer = int | None
_trap, _error = wasmtime.Trap._from_ptr, wasmtime.WasmtimeError._from_ptr  # noqa: SLF001 - no other way

# One holds the interpreter's lock meanwhile: for calls that return at once. The other gives it up: guests run in those.
_HOLDING, _FREEING = ctypes.PyDLL(str(ffi.filename)), ctypes.CDLL(str(ffi.filename))


def _bind(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


_P, _N = c_void_p, c_size_t
wasi_new = _bind(_HOLDING, "wasi_config_new", _P)
wasi_delete = _bind(_HOLDING, "wasi_config_delete", None, _P)
wasi_set_argv = _bind(_HOLDING, "wasi_config_set_argv", c_bool, _P, _N, _P)
wasi_set_env = _bind(_HOLDING, "wasi_config_set_env", c_bool, _P, _N, _P, _P)
wasi_set_stdin_bytes = _bind(_HOLDING, "wasi_config_set_stdin_bytes", None, _P, _P)
wasi_set_stdin_file = _bind(_HOLDING, "wasi_config_set_stdin_file", c_bool, _P, c_char_p)
wasi_set_stdout_file = _bind(_HOLDING, "wasi_config_set_stdout_file", c_bool, _P, c_char_p)
wasi_set_stderr_file = _bind(_HOLDING, "wasi_config_set_stderr_file", c_bool, _P, c_char_p)
wasi_preopen = _bind(_HOLDING, "wasi_config_preopen_dir", c_bool, _P, c_char_p, c_char_p, c_bool)
bytes_new = _bind(_HOLDING, "wasm_byte_vec_new", None, _P, _N, c_char_p)
store_new = _bind(_HOLDING, "wasmtime_store_new", _P, _P, _P, _P)
store_delete = _bind(_FREEING, "wasmtime_store_delete", None, _P)
store_context = _bind(_HOLDING, "wasmtime_store_context", _P, _P)
store_limit = _bind(_HOLDING, "wasmtime_store_limiter", None, _P, *[c_int64] * 5)
set_epoch_deadline = _bind(_HOLDING, "wasmtime_context_set_epoch_deadline", None, _P, c_uint64)
set_fuel = _bind(_HOLDING, "wasmtime_context_set_fuel", _P, _P, c_uint64)
get_fuel = _bind(_HOLDING, "wasmtime_context_get_fuel", _P, _P, _P)
set_wasi = _bind(_HOLDING, "wasmtime_context_set_wasi", _P, _P, _P)
export_get = _bind(_HOLDING, "wasmtime_instance_export_get", c_bool, _P, _P, c_char_p, _N, _P)
memory_data = _bind(_HOLDING, "wasmtime_memory_data", _P, _P, _P)
memory_size = _bind(_HOLDING, "wasmtime_memory_data_size", _N, _P, _P)
instantiate = _bind(_FREEING, "wasmtime_instance_pre_instantiate", _P, _P, _P, _P, _P)
call = _bind(_FREEING, "wasmtime_func_call", _P, _P, _P, _P, _N, _P, _N, _P)
call_unchecked = _bind(_FREEING, "wasmtime_func_call_unchecked", _P, _P, _P, _P, _N, _P)


def address(managed: Any) -> int:
    """Where what a library's object stands for is."""
    return ctypes.cast(managed.ptr(), c_void_p).value or 0


def raise_error(error: Pointer, trap: c_void_p) -> None:
    """Raise what came of a call: the exception of a host function, the trap or the error; nothing where all is well."""
    if trap.value:
        raised: Exception = _trap(ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t)))
        trap.value = None
    elif error:
        raised = _error(ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t)))
    else:
        return
    maybe_raise_last_exn()
    raise raised


def strings(texts: list[str]) -> ctypes.Array[c_char_p]:
    """`texts` as C has them; raises UnicodeEncodeError."""
    return (c_char_p * len(texts))(*[text.encode() for text in texts])
