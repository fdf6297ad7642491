"""Small guests for tests that drive a real grid."""

from __future__ import annotations

_WASI = '(import "wasi_snapshot_preview1"'

# Prints without an end, a line per 10 ms or so: it sleeps in a host call between them.
TICKS = f"""(module
  {_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  {_WASI} "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 16) "tick\\0a")
  (func (export "_start")
    (i32.store (i32.const 80) (i32.const 1))             ;; the subscription at 64: monotonic clock
    (i64.store (i32.const 88) (i64.const 10000000))      ;; 10 ms
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
      (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))
      (br $again))))"""


def counts(lines: int) -> str:
    """Prints `0000`, `0001`, ... on so many lines (at most 10,000), one per 20 ms, and ends."""
    carry = "".join(
        f"""
      (i32.store8 (i32.const {at}) (i32.add (i32.load8_u (i32.const {at})) (i32.const 1)))
      (br_if $again (i32.le_u (i32.load8_u (i32.const {at})) (i32.const 57)))
      (i32.store8 (i32.const {at}) (i32.const 48))"""
        for at in (19, 18, 17, 16)
    )
    return f"""(module
  {_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  {_WASI} "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 16) "0000\\0a")
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const {lines}))
    (i32.store (i32.const 80) (i32.const 1))             ;; the subscription at 64: monotonic clock
    (i64.store (i32.const 88) (i64.const 20000000))      ;; 20 ms
    (loop $again
      (if (i32.eqz (local.get $left)) (then (return)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
      (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192))){carry})))"""


def counted(lines: int) -> bytes:
    """What `counts` prints."""
    return b"".join(b"%04d\n" % number for number in range(lines))


SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))'

TRAP = '(module (memory (export "memory") 1) (func (export "_start") unreachable))'

# Grows until it is refused, then gives up as an allocator would.
EAT = """(module (memory (export "memory") 1) (func (export "_start")
  (loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) unreachable))"""

# Writes its 64 KiB page again and again.
FLOOD = f"""(module
  {_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\f0\\00\\00")
  (func (export "_start") (loop $l (br_if $l (i32.eqz (call $write
    (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))))"""

BROKEN_C = "int main(void) { return nothing_of_this_name; }\n"

# All that a job can be given, shown; what it was asked to leave, left.
KITCHEN_C = """\
#include <stdio.h>
#include <stdlib.h>

static void show(const char *title, FILE *file) {
  char buffer[4096];
  size_t size = file ? fread(buffer, 1, sizeof buffer - 1, file) : 0;
  buffer[size] = 0;
  printf("%s: %s\\n", title, file ? buffer : "none");
}

int main(int count, char **words) {
  for (int i = 1; i < count; i++) printf("arg: %s\\n", words[i]);
  printf("env: %s\\n", getenv("COLOUR") ? getenv("COLOUR") : "none");
  show("stdin", stdin);
  show("file", fopen("/in/data.txt", "r"));
  show("tree", fopen("/data/deep/inner.txt", "r"));
  FILE *denied = fopen("/in/data.txt", "w");
  printf("write: %s\\n", denied ? "allowed" : "denied");
  FILE *left = fopen("/out/result.txt", "w");
  if (left) { fputs("left behind", left); fclose(left); }
  fprintf(stderr, "on stderr\\n");
  return 7;
}
"""

HELLO_C = '#include <stdio.h>\nint main(void) { puts("hello from C"); return 0; }\n'


def exits(code: int) -> str:
    """A guest that exits with `code`."""
    return f"""(module {_WASI} "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const {code}))))"""


def prints(text: str) -> str:
    """A guest that prints `text` (any characters) and ends."""
    data = text.encode()
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    size = "".join(f"\\{byte:02x}" for byte in len(data).to_bytes(4, "little"))
    return f"""(module {_WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\10\\00\\00\\00{size}") (data (i32.const 16) "{escaped}")
      (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
