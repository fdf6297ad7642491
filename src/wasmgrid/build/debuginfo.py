"""Takes debug information out of a module: half of it or more, and of no use to whoever runs it.

Names of functions stay, for backtraces.
"""

from __future__ import annotations

_HEADER_BYTES = 8


def without_debug(module: bytes) -> bytes:
    """`module` without its `.debug_*` sections; anything that is not a well-formed module comes back as it is."""
    kept = [module[:_HEADER_BYTES]]
    at = _HEADER_BYTES
    try:
        while at < len(module):
            size, body = _u32(module, at + 1)
            end = body + size
            if not (module[at] == 0 and _name(module, body).startswith(b".debug_")):
                kept.append(module[at:end])
            at = end
    except IndexError:
        return module
    return b"".join(kept) if at == len(module) else module


def _name(module: bytes, at: int) -> bytes:
    length, start = _u32(module, at)
    return module[start : start + length]


def _u32(module: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends) of the LEB128 number at `at`."""
    value = shift = 0
    while True:
        byte = module[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
