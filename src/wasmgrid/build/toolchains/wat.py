"""WebAssembly text, through the engine that comes with the package: nothing is installed.

The parser runs in the sandbox like every compiler: what it reads is as hostile as any source.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

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

# wasmtime's package is wherever the sandbox shows it, under whatever name.
_CONVERT = """\
import importlib.util, sys
package, source, target = sys.argv[1:]
find = importlib.util.spec_from_file_location
spec = find("wasmtime", package + "/__init__.py", submodule_search_locations=[package])
wasmtime = sys.modules["wasmtime"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(wasmtime)
try:
    with open(source, encoding="utf-8") as file:
        text = file.read()
    made = wasmtime.wat2wasm(text)
except UnicodeDecodeError as error:
    sys.exit(f"{source}: not UTF-8: {error.reason} at byte {error.start}")
except (wasmtime.WasmtimeError, ValueError) as error:
    sys.exit(str(error).replace("<anon>", source))
with open(target, "xb") as file:
    file.write(made)
"""


def _tools() -> Mapping[str, str]:
    spec = importlib.util.find_spec("wasmtime")
    assert spec is not None and spec.origin is not None  # noqa: S101, PT018 - a dependency of this package
    return {"python": sys.base_prefix, "wasmtime": str(Path(spec.origin).parent)}


def _compile(unit: Unit) -> list[Command]:
    python = unit.tools["python"]
    program = f"{python}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    argv = [program, "-I", "-S", "-B", "-c", _CONVERT, unit.tools["wasmtime"], unit.entry, unit.module]
    return [Command(argv=argv, env={"LD_LIBRARY_PATH": f"{python}/lib"})]


WAT = Language(
    name="wat",
    suffixes=(".wat",),
    aliases=("wast",),
    looks_like=pattern(r"\A(?>\s|;;[^\n]*|\(;(?:[^;]|;(?!\)))*+;\))*+\(module\b"),
    builtin=_tools,
    compile=_compile,
    hello={"hello.wat": _HELLO},
)
