"""Python, JavaScript and TypeScript: judged before they run, by the interpreter that will run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wasmgrid.build import source_map
from wasmgrid.build.builder import Built
from wasmgrid.build.limits import BuildLimits
from wasmgrid.core.bundle import unpack
from wasmgrid.core.outcome import OutcomeKind

Build = Callable[..., Built]

BROKEN = {
    "a.py": ("x = 1\nx = = 2\n", ['File "a.py", line 2', "SyntaxError: invalid syntax"]),
    "indent.py": ("def f():\nreturn 1\n", ['File "indent.py", line 2', "IndentationError"]),
    "return.py": ("return 1\n", ['File "return.py", line 1', "'return' outside function"]),
    "nul.py": (b"x = 1\0\n", ["nul.py: SyntaxError", "null bytes"]),
    "latin.py": (b'x = "\xe9"\n', ['File "latin.py", line 1', "'utf-8' codec can't decode byte 0xe9"]),
    "a.js": ("let x = 1;\nlet y = ;\n", ["SyntaxError: unexpected token in expression: ';'", "a.js:2"]),
    "gone.js": ('import { x } from "./nothing.js";\n', ["nothing.js"]),
    "a.ts": ("let x: number = 1;\nlet y = ;\n", ["a.ts:2:8:", 'Unexpected ";"']),
    "gone.ts": ('import { x } from "./nothing";\nx();\n', ["gone.ts:1:18:", "Could not resolve"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_parsed_fails_its_build_in_its_own_words(build: Build, name: str) -> None:
    text, words = BROKEN[name]
    built = build({name: text})
    assert built.outcome.kind is OutcomeKind.BUILD_FAILED
    for each in words:
        assert each in built.diagnostics
    assert "/work" not in built.diagnostics
    assert "wasmgrid" not in built.diagnostics


def test_only_what_is_imported_is_judged(build: Build) -> None:
    files = {
        "main.py": "import lib.part\n",
        "lib/part.py": "from . import other\n",
        "lib/other.py": "",
        "notes.py": "= =",
    }
    assert build(files).outcome.succeeded
    broken = build({**files, "lib/other.py": "x = (\n"})
    assert 'File "lib/other.py", line 1' in broken.diagnostics


def test_nothing_of_a_program_runs_while_it_is_built(build: Build) -> None:
    assert build({"a.py": "raise SystemExit(9)\n"}).outcome.succeeded
    assert build({"a.js": "while (true);\n"}).outcome.succeeded
    assert build({"a.ts": "while (true);\n"}).outcome.succeeded


def test_a_type_error_is_no_syntax_error(build: Build) -> None:
    assert build({"a.ts": 'const x: number = "text";\nconsole.log(x);\n'}).outcome.succeeded


def test_the_same_source_is_the_same_bundle_and_names_its_interpreter(build: Build) -> None:
    first, second = (build({"a.py": "print(1)\n"}) for _ in range(2))
    assert first.module == second.module
    assert first.module is not None
    assert unpack(first.module).files == {"a.py": b"print(1)\n"}
    assert len(first.module) < 20_000


def test_typescript_is_one_file_that_knows_its_lines(build: Build) -> None:
    files = {
        "main.ts": 'import { twice } from "./lib";\n\ninterface X {\n  y: number;\n}\nconsole.log(twice(3));\n',
        "lib.ts": "export const twice = (x: number): number => x * 2;\n",
        "data.json": "[1]",
    }
    built = build(files)
    assert built.module is not None
    bundle = unpack(built.module)
    assert sorted(path for path in bundle.files if "wasmgrid_" not in path) == ["data.json", "main.ts.js"]
    assert b"sourceMappingURL" not in bundle.files["main.ts.js"]
    assert b'"sources":["lib.ts","main.ts"]' in bundle.files["wasmgrid_prelude.js"].replace(b" ", b"")


def test_a_source_map_that_is_damaged_is_left_out() -> None:
    mark = b"\n//# sourceMappingURL=data:application/json;base64,"
    for encoded in (b"!", b"e30=", b"eyJzb3VyY2VzIjpbXSwibWFwcGluZ3MiOiI/In0="):
        assert source_map.taken_out(b"x();" + mark + encoded) == (b"x();\n", None)
    assert source_map.taken_out(b"x();\n") == (b"x();\n", None)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.py", "def add(a): return a\nx = 1\n", "there is no function sub in a.py; the functions in it: add"),
        (
            "a.js",
            "function add(a) {}\nconst g = (x) => x;\n",
            "there is no function sub in a.js; the functions in it: add, g",
        ),
        ("a.ts", "function add(a: number) {}\n", "there is no function sub in a.ts; the functions in it: add"),
    ],
)
def test_a_function_that_is_not_there_is_told_with_those_that_are(
    build: Build, name: str, text: str, told: str
) -> None:
    built = build({name: text}, function="sub")
    assert (built.outcome.kind, built.outcome.message) == (OutcomeKind.BUILD_FAILED, told)
    assert build({name: text}, function="add").outcome.succeeded


def test_a_name_that_is_imported_can_be_called(build: Build) -> None:
    assert build({"a.py": "from math import gcd\n"}, function="gcd").outcome.succeeded
    assert build({"a.py": "from os.path import *\n"}, function="join").outcome.succeeded
    files = {"a.ts": 'import { twice } from "./b";\n', "b.ts": "export const twice = (x: number) => x * 2;\n"}
    assert build(files, function="twice", entry="a.ts").outcome.succeeded


def test_a_file_in_the_grids_own_name_is_refused(build: Build) -> None:
    built = build({"a.js": "function f() {}\n", "wasmgrid_serve.js": "1;\n"}, function="f", entry="a.js")
    assert built.outcome.kind is OutcomeKind.BUILD_FAILED


@pytest.mark.parametrize("name", ["bomb.py", "bomb.ts"])
def test_hostile_sources_meet_the_limits_of_a_build(build: Build, name: str) -> None:
    nested = "x = " + "(" * 50_000 + "1" + ")" * 50_000 + "\n"
    huge = "x = [" + "[1] * 10 ** 9," * 100_000 + "]\n"
    small = BuildLimits(cpu_s=5.0, memory_mb=512)
    for text in (nested, huge):
        built = build({name: text}, limits=small)
        assert built.outcome.kind in {OutcomeKind.BUILD_FAILED, OutcomeKind.EXITED}
        assert len(built.diagnostics) <= small.diagnostics_bytes
