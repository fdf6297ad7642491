"""What agent and runner must agree on about the runtime, without loading it."""

from __future__ import annotations

REFUSED_EXIT_CODE = 3  # of `runner.precompile`: the module is not valid

_MAX_TEXT = 2000


def printable(text: str) -> str:
    """`text` (names out of a module may be in it) on one line, without control characters, of bounded length."""
    flat = " ".join(text.split())[:_MAX_TEXT]
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in flat)
