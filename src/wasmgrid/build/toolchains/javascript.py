"""JavaScript: QuickJS as a WebAssembly module. A program is an ES module; what it imports are the project's files."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from wasmgrid.build.functions import scripts
from wasmgrid.build.functions.wrap import RESERVED, template
from wasmgrid.build.toolchains.interpreted import judge, tools
from wasmgrid.build.toolchains.interpreters import QUICKJS_CODE, QUICKJS_MODULE
from wasmgrid.build.toolchains.language import Calls, Command, Language, Unit, pattern
from wasmgrid.core.bundle import ROOT, Bundle
from wasmgrid.core.interpreters import QUICKJS

_PRELUDE, _SERVE = f"{RESERVED}prelude.js", f"{RESERVED}serve.js"
# All modules are parsed and linked before the first one runs, and that one ends the interpreter.
_CHECK = {
    "stop.js": 'import * as std from "qjs:std";\nstd.exit(0);\n',
    "check.js": 'import "/check/stop.js";\nimport "/src/ENTRY";\n',
}


def check(unit: Unit, entry: str) -> Command:
    """Whether it can be parsed, and all that it imports is there."""
    texts = {name: text.replace('"/src/ENTRY"', _quoted(f"{ROOT}/{entry}")) for name, text in _CHECK.items()}
    return judge(unit, "quickjs-code", ["qjs", "-m", "/check/check.js"], texts)


def bundle(entry: str, files: Mapping[str, bytes], lines: Mapping[str, object] | None = None) -> Bundle:
    """The program `entry` for QuickJS; `lines`: where those of the file came from (`source_map`)."""
    table = b"null" if lines is None else msgspec.json.encode({"file": f"{ROOT}/{entry}", **lines})
    prelude = template("prelude.js").removesuffix(b"(null);\n") + b"(" + table + b");\n"
    argv = ["qjs", "--std", "-I", f"{ROOT}/{_PRELUDE}", "-m"]
    return Bundle(
        interpreter=QUICKJS.sha256,
        argv=[*argv, f"{ROOT}/{entry}"],
        serve_argv=[*argv, f"{ROOT}/{_SERVE}", f"{ROOT}/{entry}"],
        files={**files, _PRELUDE: prelude, _SERVE: template("serve.js")},
    )


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _compile(unit: Unit) -> list[Command]:
    return [check(unit, unit.entry)]


def _bundle(unit: Unit, _produced: bytes) -> Bundle:
    return bundle(unit.entry, unit.texts)


JAVASCRIPT = Language(
    name="javascript",
    suffixes=(".js", ".mjs"),
    aliases=("js", "mjs", "quickjs", "ecmascript"),
    looks_like=pattern(
        r"\A#![^\n]*\b(node|qjs|deno|bun)\b|^(import|export) .{1,500} from ['\"]|\bconsole\.log\("
        r"|^(const|let|var) \w{1,100} =|^(export )?(async )?function \w{1,100}\("
    ),
    entries=("main", "src/main", "index", "src/index"),
    components=(QUICKJS_MODULE, QUICKJS_CODE),
    builtin=tools,
    compile=_compile,
    calls=Calls(wrap=scripts.offered, check=_compile, why=scripts.why_javascript),
    bundle=_bundle,
    hello={"hello.js": 'console.log("hello");\n'},
)
