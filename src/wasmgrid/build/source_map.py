"""Which line of which source a line of generated JavaScript came from: a source map, as far as backtraces need it.

The format: https://tc39.es/ecma426/. What is read here was made by a compiler out of hostile text, in its sandbox.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

_MARK = b"\n//# sourceMappingURL=data:application/json;base64,"
_DIGITS = {char: value for value, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_ABOVE = "../src/"


class _Map(msgspec.Struct):
    sources: list[str]
    mappings: str


def taken_out(code: bytes) -> tuple[bytes, dict[str, Any] | None]:
    """Generated code without the map at its end, and that map: `sources`, and a `table` with (source, line) per line.

    None where there is no map, or a damaged one.
    """
    text, mark, encoded = code.rpartition(_MARK)
    if not mark:
        return code, None
    try:
        found = msgspec.json.decode(base64.b64decode(encoded.strip(), validate=True), type=_Map)
        table = _table(found.mappings)
    except (msgspec.DecodeError, binascii.Error, KeyError, IndexError):
        return text + b"\n", None
    return text + b"\n", {"sources": [path.removeprefix(_ABOVE) for path in found.sources], "table": table}


def _table(mappings: str) -> list[tuple[int, int] | int]:
    """For each generated line the source and line of its first segment; 0 for a line that came from nowhere."""
    table: list[tuple[int, int] | int] = []
    source = line = 0
    for generated in mappings.split(";"):
        first: tuple[int, int] | int = 0
        for segment in filter(None, generated.split(",")):
            numbers = _numbers(segment)
            if len(numbers) >= 3:
                source, line = source + numbers[1], line + numbers[2]
                first = first or (source, line + 1)
        table.append(first)
    return table


def _numbers(segment: str) -> list[int]:
    """Base 64 digits of five bits each and one that says that more follow; the lowest bit is the sign."""
    numbers, value, shift = [], 0, 0
    for char in segment:
        digit = _DIGITS[char]
        value |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            numbers.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return numbers
