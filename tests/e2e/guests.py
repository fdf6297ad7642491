"""Programs for tests, in WAT: small, quick to compile, and exact about when they end."""

from __future__ import annotations

_IMPORTS = """
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)"""


def sleeper(seconds: float, text: str = "slept", code: int = 0) -> str:
    """Prints `text`, sleeps, prints it again, exits with `code`."""
    line = f"{text}\\n"
    return f"""(module{_IMPORTS}
 (data (i32.const 512) "{line}")
 (func $say
  (i32.store (i32.const 0) (i32.const 512)) (i32.store (i32.const 4) (i32.const {len(text) + 1}))
  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))))
 (func (export "_start")
  (call $say)
  (i32.store8 (i32.const 72) (i32.const 0))
  (i32.store (i32.const 80) (i32.const 1))
  (i64.store (i32.const 88) (i64.const {int(seconds * 1e9)}))
  (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 200)))
  (call $say)
  (call $exit (i32.const {code}))))
"""
