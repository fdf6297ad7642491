"""A ready module: nothing to compile. It is judged by `build.wasm.inspect` like every module."""

from __future__ import annotations

from wasmgrid.build.toolchains.language import Language

WASM = Language(
    name="wasm",
    suffixes=(".wasm",),
    aliases=("webassembly", "module"),
    compile=lambda _unit: [],
    hello={},
)
