"""Small programs for jobs that last, print, or end at once."""

from __future__ import annotations

import base64
from typing import Any

from tests.server.test_real_grid import ENDLESS, HELLO
from wasmtime import wat2wasm

HEAD = HELLO[: HELLO.index("(data")]


def job(wat: str, **more: Any) -> dict[str, Any]:
    """A job of this module."""
    module = base64.b64encode(bytes(wat2wasm(wat))).decode()
    return {"source": {"language": "wasm", "files": {"a.wasm": {"base64": module}}}, "memory_mb": 16, **more}


def hello(**more: Any) -> dict[str, Any]:
    """It prints hello and ends."""
    return job(HELLO, **more)


def endless(**more: Any) -> dict[str, Any]:
    """It never ends."""
    return job(ENDLESS, **more)


def ticks(count: int, **more: Any) -> dict[str, Any]:
    """It prints a tick every 0.2 s, `count` times."""
    body = f"""(data (i32.const 256) "tick\\n")
      (func (export "_start") (local $left i32)
        (local.set $left (i32.const {count}))
        (loop $again
          (call $write (i32.const 1) (i32.const 256) (i32.const 5))
          (call $sleep (i64.const 200000000))
          (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"""
    return job(HEAD + body, **more)
