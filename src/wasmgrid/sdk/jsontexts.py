"""The texts of JSON values: of Python's, and of those in a stream, one by one (an array's elements, or NDJSON).

Only as much is held as the longest value takes. The values themselves are never made: what is sent is the text that
was read, so that no number is rounded.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from typing import IO, Any, NoReturn

import msgspec

from wasmgrid.core.errors import InvalidField

_CHUNK_BYTES = 256 * 1024
_SPACE = " \t\r\n"


def of_value(value: Any) -> bytes:
    """A value as compact JSON. What is not finite is the text that functions take for it: `"NaN"`, `"-Infinity"`.

    Numbers and arrays of numpy are taken as well; `InvalidField` for what JSON has no form for.
    """
    try:
        return msgspec.json.encode(_plain(value), enc_hook=_of_others)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(f"{value!r:.80} cannot be sent as JSON: {error}", field="lines") from None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _of_others(value: Any) -> Any:
    """Numpy's values know their plain form; so do those of most libraries that follow it."""
    plain = getattr(value, "tolist", None)
    if plain is None:
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return _plain(plain())


class NotOneArrayError(Exception):
    """The stream is not a single array: its values stand one after the other."""


def elements(file: IO[bytes]) -> Iterator[bytes]:
    """The elements of the one array that `file` holds, compact; `NotOneArrayError` where it holds something else."""
    text = _Text(file)
    if text.next() != "[":
        raise NotOneArrayError
    text.skip()
    while text.next() != "]":
        yield text.value()
        if text.next() == ",":
            text.skip()
            if text.next() == "]":
                raise ValueError(f"a value is missing at character {text.place}")
        elif text.next() != "]":
            raise ValueError(f"a comma or ] is missing at character {text.place}")
    text.skip()
    if text.next():
        raise NotOneArrayError


def values(file: IO[bytes]) -> Iterator[bytes]:
    """The values that stand in `file` one after the other, compact."""
    text = _Text(file)
    while text.next():
        yield text.value()


class _Text:
    """A window on a stream of JSON."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_constant=_no_constant, parse_float=str, parse_int=str)
        self._window = ""
        self._at = 0
        self._before = 0  # characters that left the window
        self._ended = False

    @property
    def place(self) -> int:
        """Where the next character stands in the stream."""
        return self._before + self._at

    def next(self) -> str:
        """The next character that is no white space; empty at the end. It stays."""
        while True:
            while self._at < len(self._window):
                if self._window[self._at] not in _SPACE:
                    return self._window[self._at]
                self._at += 1
            if not self._more():
                return ""

    def skip(self) -> None:
        """Pass the next character."""
        self._at += 1

    def value(self) -> bytes:
        """The next value, compact; raises ValueError where there is none."""
        while True:
            try:
                _, end = self._json.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if self._more():  # it may have been cut off
                    continue
                raise ValueError(f"{error.msg} at character {self._before + error.pos}") from None
            except RecursionError:
                raise ValueError(f"a value at character {self.place} is nested too deeply") from None
            if not self._window[end : end + 3].strip(".eE+-") and len(self._window) < end + 3 and self._more():
                continue  # a number may go on: 1 with .5 or e+9 still to come
            text = self._window[self._at : end]
            self._at = end
            try:
                return msgspec.json.format(text.encode(), indent=-1)
            except (msgspec.DecodeError, UnicodeEncodeError) as error:
                raise ValueError(f"{error} before character {self.place}") from None

    def _more(self) -> bool:
        """Widen the window (by as much again as it holds, so that a long value is not read over and over)."""
        if self._ended:
            return False
        chunk = self._file.read(max(_CHUNK_BYTES, len(self._window) - self._at))
        self._ended = not chunk
        self._before += self._at
        self._window = self._window[self._at :] + self._decoder.decode(chunk, final=self._ended)
        self._at = 0
        return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON; write it as a string, {json.dumps(name)}")
