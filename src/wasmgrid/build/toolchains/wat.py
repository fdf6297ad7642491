"""WebAssembly text, through `wasmtime.wat2wasm` in a limited process of its own: no toolchain is needed."""

from __future__ import annotations

from wasmgrid.build.toolchains.language import Command, Language, Unit, pattern

_HELLO = """\
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))
"""


def _compile(unit: Unit) -> list[Command]:
    return [Command(argv=["wat2wasm", unit.entry, unit.module])]


WAT = Language(
    name="wat",
    suffixes=(".wat",),
    aliases=("wast",),
    looks_like=pattern(r"\A\s*((;;[^\n]*|\(;.*?;\))\s*)*\(module\b"),
    compile=_compile,
    hello={"hello.wat": _HELLO},
)
