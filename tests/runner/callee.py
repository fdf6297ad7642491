"""A guest in WAT that answers calls as a module does that was built for `--function` (docs/functions.md)."""

from __future__ import annotations

AT = 8192  # where it lets the host write a call


def _answer(text: str, *, at: int) -> tuple[str, str]:
    """A data segment, and the expression that answers with it."""
    data = "".join(f"\\{byte:02x}" for byte in text.encode())
    packed = at << 32 | len(text.encode())
    return f'(data (i32.const {at}) "{data}")', f"(return (i64.const {packed}))"


def _digit(code: str) -> str:
    """Answers with the number that `code` leaves."""
    store = f"(i32.store8 (i32.const {AT}) (i32.add (i32.const 48) {code}))"
    return f"{store} (i32.store8 (i32.const {AT - 1}) (i32.const 61)) (return (i64.const {(AT - 1) << 32 | 2}))"


def callee(*, initialize: str = "", start: str = "") -> str:
    """Answers `[x]` with `=[x]`; a string's first letter asks for something else, see the source."""
    fail_data, fail = _answer("!it went wrong", at=1024)
    unfit_data, unfit = _answer("?f wants a number: f(a: i32)", at=1100)
    senseless_data, senseless = _answer("=not json", at=1200)
    lines_data, lines = _answer("=[1,\n2]", at=1300)
    cases = {
        "t": "unreachable",
        "s": "(loop $forever (br $forever))",
        "f": fail,
        "u": unfit,
        "j": senseless,
        "n": lines,
        "x": "(call $exit (i32.const 3))",
        "b": "(return (i64.const 0xfffffff000000010))",
        "h": f"(return (i64.const {AT << 32 | 70000}))",
        "p": "(call $print (i32.const 1))",
        "e": "(call $print (i32.const 2))",
        "w": "(call $touch)",
        # the errno of opening /in/data
        "r": _digit("(call $read)"),
        # 64 pages more each time; a refusal kills it
        "g": "(if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable))",
        # how many calls this instance has seen
        "c": _digit("(global.get $calls)"),
        "i": _digit("(global.get $ready)"),
    }
    switch = "\n".join(
        f"(if (i32.eq (local.get $letter) (i32.const {ord(letter)})) (then {code}))" for letter, code in cases.items()
    )
    rights = "(i64.const 64) (i64.const 64)"
    return rf"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 4)
      {fail_data} {unfit_data} {senseless_data} {lines_data}
      (data (i32.const 1400) "\70\05\00\00\06\00\00\00") (data (i32.const 1392) "said\21\0a")
      (data (i32.const 1500) "out/left") (data (i32.const 1520) "data")
      (global $calls (mut i32) (i32.const 0)) (global $ready (mut i32) (i32.const 0))
      (func $print (param $to i32)
        (drop (call $fd_write (local.get $to) (i32.const 1400) (i32.const 1) (i32.const 1600))))
      (func $touch
        (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 1500) (i32.const 8)
          (i32.const 1) {rights} (i32.const 0) (i32.const 1600))))
      (func $read (result i32)
        (call $path_open (i32.const 4) (i32.const 0) (i32.const 1520) (i32.const 4)
          (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 1600)))
      (func (export "_initialize") (global.set $ready (i32.const 7)) {initialize})
      (func $begin {start}) (start $begin)
      (func (export "wasmgrid_alloc") (param i32) (result i32) (i32.const {AT}))
      (func (export "wasmgrid_signature") (result i64) (i64.const 0))
      (func (export "wasmgrid_call") (param $at i32) (param $size i32) (result i64) (local $letter i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (local.set $letter (i32.load8_u (i32.add (local.get $at) (i32.const 2))))
        (if (i32.ne (i32.load8_u (i32.add (local.get $at) (i32.const 1))) (i32.const 34))
          (then (local.set $letter (i32.const 0))))
        {switch}
        (i32.store8 (i32.const {AT - 1}) (i32.const 61))
        (i64.or (i64.shl (i64.extend_i32_u (i32.const {AT - 1})) (i64.const 32))
          (i64.extend_i32_u (i32.add (local.get $size) (i32.const 1)))))
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""
