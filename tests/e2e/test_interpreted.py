"""Python, JavaScript and TypeScript at a real grid: programs as people type them, and workers without toolchains."""

from __future__ import annotations

import json

import pytest
from tests.e2e.grid import Grid
from tests.e2e.test_functions import needs


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.py", "import sys\nprint(sys.argv[1:], sys.stdin.read())\nsys.exit(3)\n"),
        (
            "job.js",
            'import * as std from "qjs:std";\nconsole.log(process.argv.slice(2), std.in.readAsString());std.exit(3);',
        ),
        ("job.ts", "const names: string[] = process.argv.slice(2);\nconsole.log(names, '');\nprocess.exit(3);\n"),
    ],
)
def test_a_program_is_run_as_it_is_typed(grid: Grid, name: str, text: str) -> None:
    needs(grid, name.partition(".")[2])
    grid.file(name, text)
    done = grid.run("run", name, "--", "a b")
    assert done.returncode == 3, done.stderr.decode()
    assert json.loads(done.stdout.decode().replace("'", '"').strip()) == ["a b"]
    again = json.loads(grid.run("run", name, "--json", "--", "a b").stdout)
    assert again["build"]["cached"]
    assert again["result"]["stats"]["precompile_cached"]


def test_what_the_interpreter_refuses_fails_the_build(grid: Grid) -> None:
    needs(grid, "py")
    grid.file("bad.py", "x = 1\ny = = 2\n")
    done = grid.run("run", "bad.py")
    assert done.returncode == 126
    assert 'File "bad.py", line 2\n    y = = 2\n        ^\nSyntaxError: invalid syntax\n' in done.stderr.decode()


def test_a_directory_is_a_program_of_several_modules(grid: Grid) -> None:
    needs(grid, "py")
    grid.file("shop/main.py", "from prices import total\nprint(total([1, 2]))\n")
    grid.file("shop/prices/__init__.py", "from .sums import total\n")
    grid.file("shop/prices/sums.py", "def total(xs):\n    return sum(xs)\n")
    assert grid.text("run", "shop") == "3\n"
    needs(grid, "ts")
    grid.file("tsshop/main.ts", 'import { total } from "./sums";\nconsole.log(total([1, 2]));\n')
    grid.file("tsshop/sums.ts", "export const total = (xs: number[]) => xs.reduce((a, b) => a + b, 0);\n")
    assert grid.text("run", "tsshop") == "3\n"


def test_a_backtrace_names_the_lines_of_the_typescript(grid: Grid) -> None:
    needs(grid, "ts")
    grid.file(
        "boom.ts",
        "interface A {\n  b: number;\n}\n\nfunction f(a: A) {\n  throw new Error(`no ${a.b}`);\n}\nf({ b: 1 });\n",
    )
    done = grid.run("run", "boom.ts")
    assert done.returncode == 1
    assert "Error: no 1\n    at f (/src/boom.ts:6)\n    at <anonymous> (/src/boom.ts:8)\n" in done.stderr.decode()


def test_the_module_that_comes_back_runs_again(grid: Grid) -> None:
    needs(grid, "py")
    grid.file("again.py", "print('again')\n")
    grid.text("run", "again.py")
    grid.text("wasm", "last", "-o", "again.wasm")
    (grid.directory / "again.py").unlink()
    assert grid.text("run", "again.wasm") == "again\n"


def test_it_cannot_be_taken_to_another_runtime_and_says_so(grid: Grid) -> None:
    needs(grid, "py")
    grid.file("home.py", "print('home')\n")
    job = json.loads(grid.text("run", "home.py", "--json"))
    done = grid.run("repro", job["id"])
    assert done.returncode != 0
    assert "wasmgrid run job.wasm" in done.stderr.decode()
    assert not (grid.directory / f"repro-{job['id']}").exists()
