"""Programs as agents send them: WAT, which needs no toolchain."""

from __future__ import annotations


def printing(text: str, *, exit_code: int = 0, times: int = 1) -> str:
    """A program that writes `text` to stdout, `times` times, and exits."""
    data = text.encode()
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    return f"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 2)
      (data (i32.const 16) "{escaped}")
      (func (export "_start") (local $n i32)
        (i32.store (i32.const 0) (i32.const 16))
        (i32.store (i32.const 4) (i32.const {len(data)}))
        (loop $again
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $n) (i32.const {times}))))
        (call $exit (i32.const {exit_code}))))"""


SPINNING = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'

GCD = """(module (func (export "gcd") (param $a i64) (param $b i64) (result i64) (local $rest i64)
  (loop $again
    (if (i64.ne (local.get $b) (i64.const 0))
      (then
        (local.set $rest (i64.rem_u (local.get $a) (local.get $b)))
        (local.set $a (local.get $b))
        (local.set $b (local.get $rest))
        (br $again))))
  (local.get $a)))"""

TRAPPING = """(module (func (export "inverse") (param $n i32) (result i32)
  (i32.div_u (i32.const 100) (local.get $n))))"""
