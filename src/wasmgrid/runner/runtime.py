"""What agent and runner must agree on about the runtime, without loading it."""

from __future__ import annotations

from wasmgrid.core.digest import sha256_hex

WASM_STACK_BYTES = 8 << 20  # what a native program has; two well-known recursive benchmarks need more than the default
MEMORIES = 1
REFUSED_EXIT_CODE = 3  # of `runner.precompile`: the module is not valid

_MAX_TEXT = 2000


def identity(version: str, machine: str) -> str:
    """What a precompiled file depends on besides its module, as a digest: `version` of wasmtime and its configuration.

    The runtime itself checks the same again when it loads a file.
    """
    facts = f"{version} {machine} epoch stack={WASM_STACK_BYTES} threads=0 memories={MEMORIES} layout=1"
    return sha256_hex(facts.encode())[:16]


def printable(text: str) -> str:
    """`text` (names out of a module may be in it) on one line, without control characters, of bounded length."""
    flat = " ".join(text.split())[:_MAX_TEXT]
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in flat)
