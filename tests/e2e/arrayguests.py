"""Guests for arrays, in WAT: what a task was given comes back as it is."""

from __future__ import annotations

_WASI = '(import "wasi_snapshot_preview1"'

# Copies stdin to stdout.
CAT = f"""(module
  {_WASI} "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  {_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\00\\40\\00\\00")
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 4) (i32.const 16384))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (i32.eqz (i32.load (i32.const 16))) (then (return)))
      (i32.store (i32.const 4) (i32.load (i32.const 16)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br $again))))"""

# Prints its arguments behind the first, each on a line of its own.
ARGS = f"""(module
  {_WASI} "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  {_WASI} "args_get" (func $get (param i32 i32) (result i32)))
  {_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start") (local $at i32) (local $end i32) (local $first i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 1024) (i32.const 65536)))
    (local.set $end (i32.add (i32.const 65536) (i32.load (i32.const 4))))
    (local.set $at (i32.const 65536))
    (loop $again
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return)))
      (if (i32.eqz (i32.load8_u (local.get $at))) (then
        (if (i32.eqz (local.get $first))
          (then (local.set $first (i32.add (local.get $at) (i32.const 1))))
          (else (i32.store8 (local.get $at) (i32.const 10))
            (i32.store (i32.const 8) (local.get $first))
            (i32.store (i32.const 12) (i32.sub (i32.add (local.get $at) (i32.const 1)) (local.get $first)))
            (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
            (local.set $first (i32.add (local.get $at) (i32.const 1)))))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $again))))"""

# Exits with the first digit of its first argument.
EXITS = f"""(module
  {_WASI} "args_get" (func $get (param i32 i32) (result i32)))
  {_WASI} "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 4)
  (func (export "_start")
    (drop (call $get (i32.const 1024) (i32.const 65536)))
    (call $exit (i32.sub (i32.load8_u (i32.load (i32.const 1028))) (i32.const 48)))))"""

FUNCTIONS = """(module (memory (export "memory") 1) (global $calls (mut i32) (i32.const 0))
  (func (export "_start"))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "divide") (param i64 i64) (result i64) (i64.div_s (local.get 0) (local.get 1)))
  (func (export "nothing") (param i32))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls)))"""
