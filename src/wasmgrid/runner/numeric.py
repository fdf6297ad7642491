"""An exported function of numbers, called as it is: `add(i32, i32) -> i32`."""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import msgspec
import wasmtime
from wasmtime import _ffi as ffi

from wasmgrid.runner import native
from wasmgrid.runner.sandbox import Sandbox

_VIEWS: dict[str, Any] = {"i32": ctypes.c_int32, "i64": ctypes.c_int64, "f32": ctypes.c_float, "f64": ctypes.c_double}
_BITS = {"i32": 32, "i64": 64}
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SHORTEST_F32 = range(6, 10)  # digits: nine always tell one from the next
_SLOT = ctypes.sizeof(ffi.wasmtime_val_raw_t)


class Unfit(Exception):
    """The arguments are not what the function takes."""


class Numeric:
    """The export `name` of an open sandbox; see `callee`."""

    def __init__(self, sandbox: Sandbox, name: str, kind: wasmtime.FuncType) -> None:
        function = sandbox.function(name)
        self._function = function
        self._at = 0 if function is None else ctypes.addressof(function)
        self._context, self._trap, self._trap_at = sandbox.context, sandbox.trap, sandbox.trap_at
        self._params, self._results = ([str(one) for one in side] for side in (kind.params, kind.results))
        self._name = name
        self._slots = max(len(self._params), len(self._results), 1)
        self._raw = (ffi.wasmtime_val_raw_t * self._slots)()
        self._raw_at = ctypes.addressof(self._raw)
        self._in, self._out = (
            [_VIEWS[one].from_buffer(self._raw, _SLOT * at) for at, one in enumerate(side)]
            for side in (self._params, self._results)
        )

    @staticmethod
    def takes(kind: wasmtime.FuncType) -> bool:
        """Whether there is nothing but numbers in it."""
        return all(str(one) in _VIEWS for one in (*kind.params, *kind.results))

    def call(self, given: bytes) -> bytes:
        """The answer to one call."""
        try:
            values = self._values(given)
        except Unfit as unfit:
            return f"?{unfit}; it is {self._signature()}".encode()
        for view, value in zip(self._in, values, strict=True):
            view.value = value
        error = native.call_unchecked(self._context, self._at, self._raw_at, self._slots, self._trap_at)
        if error or self._trap.value:
            native.raise_error(error, self._trap)
        shown = [_json_of(view.value, kind) for view, kind in zip(self._out, self._results, strict=True)]
        if len(shown) == 1:
            return b"=" + shown[0]
        return b"=[" + b",".join(shown) + b"]" if shown else b"=null"

    def _signature(self) -> str:
        results = ", ".join(self._results)
        to = f" -> {results if len(self._results) == 1 else f'({results})'}" if results else ""
        return f"{self._name}({', '.join(self._params)}){to}"

    def _values(self, given: bytes) -> list[int | float]:
        try:
            call = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unfit(f"the arguments are no JSON: {error}") from error
        arguments = [_parsed(word) for word in call["argv"]] if isinstance(call, dict) else call
        if len(arguments) != len(self._params):
            raise Unfit(f"{len(arguments)} arguments were given, {len(self._params)} are taken")
        return [_fitted(value, kind, at) for at, (value, kind) in enumerate(zip(arguments, self._params, strict=True))]


def _parsed(word: str) -> Any:
    try:
        return msgspec.json.decode(word)
    except (msgspec.DecodeError, RecursionError):
        return word


def _fitted(value: Any, kind: str, at: int) -> int | float:
    bits = _BITS.get(kind)
    if bits is None and isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, bool) or not isinstance(value, (int, float) if bits is None else int):
        raise Unfit(f"argument {at + 1} is no {kind}: {str(value)[:100]!r}")
    if bits is not None and not -(1 << (bits - 1)) <= value < 1 << bits:
        raise Unfit(f"argument {at + 1} does not fit an {kind}: {str(value)[:100]}")
    try:
        return value if bits is not None else float(value)
    except OverflowError:
        raise Unfit(f"argument {at + 1} does not fit an {kind}: {str(value)[:100]}") from None


def _json_of(value: float, kind: str) -> bytes:
    if kind in _BITS:
        return str(value).encode()
    if not math.isfinite(value):
        return b'"NaN"' if math.isnan(value) else b'"Infinity"' if value > 0 else b'"-Infinity"'
    if kind == "f32":  # it came back as the double next to it, with digits that an f32 never had
        value = next(short for digits in _SHORTEST_F32 if _as_f32(short := float(f"{value:.{digits}g}")) == value)
    return msgspec.json.encode(value)


def _as_f32(value: float) -> float:
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.inf
    return rounded
