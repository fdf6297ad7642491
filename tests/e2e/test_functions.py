"""Functions typed at a real grid: one call prints its value, many are a map, a misfit says the signature."""

from __future__ import annotations

import json

import pytest
from tests.e2e import arrayguests
from tests.e2e.grid import Grid

from wasmgrid.sdk import calls, lines, prepare

ADD = {
    "rs": "fn add(a: i32, b: i32) -> i32 { a + b }\n",
    "c": "int add(int a, int b) { return a + b; }\n",
    "cpp": "int add(int a, int b) { return a + b; }\n",
    "go": "package main\n\nfunc add(a, b int) int { return a + b }\n",
    "zig": "pub fn add(a: i32, b: i32) i32 {\n    return a + b;\n}\n",
    "py": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "js": "function add(a, b) {\n  return a + b;\n}\n",
    "ts": "const add = (a: number, b: number): number => a + b;\n",
    "wat": arrayguests.FUNCTIONS,
}
LANGUAGES = {"rs": "rust", "py": "python", "js": "javascript", "ts": "typescript"}
RUST = """\
pub fn greet(name: String, times: u32) -> String { format!("hello {name}! ").repeat(times as usize).trim_end().into() }
pub fn picky(n: i32) -> Result<i32, String> { if n < 3 { Ok(n * n) } else { Err(format!("{n} is too much")) } }
"""


def needs(grid: Grid, suffix: str) -> None:
    """Skip where the toolchain for files `.suffix` is not there."""
    language = LANGUAGES.get(suffix, suffix)
    with grid.client() as client:
        found = client.send(calls.toolchains()).toolchains
    if language != "wat" and not any(tool.language == language and tool.ready for tool in found):
        pytest.skip(f"no toolchain for {language} is installed here: wasmgrid toolchain install {language}")


@pytest.mark.parametrize("suffix", ADD)
def test_a_plain_function_is_called(grid: Grid, suffix: str) -> None:
    needs(grid, suffix)
    grid.file(f"add.{suffix}", ADD[suffix])
    done = grid.run("run", f"add.{suffix}", "--function", "add", "--", "2", "-3")
    assert (done.returncode, done.stdout) == (0, b"-1\n"), done.stderr.decode()
    wrong = grid.run("run", f"add.{suffix}", "--function", "add", "--", "2")
    assert (wrong.returncode, wrong.stdout) == (125, b"")
    assert "error[rejected]: " in wrong.stderr.decode()
    assert "add(" in wrong.stderr.decode()
    grid.file("in.json", json.dumps([[number, 1] for number in range(500)]))
    mapped = grid.run("run", f"add.{suffix}", "--function", "add", "--from-json", "in.json")
    assert (mapped.returncode, mapped.stdout.decode().split()) == (0, [str(each + 1) for each in range(500)])


def test_values_for_people_and_for_programs(grid: Grid) -> None:
    needs(grid, "rs")
    grid.file("lib.rs", RUST)
    call = ("run", "lib.rs", "--function")
    assert grid.text(*call, "greet", "--", "Ada Lovelace", "2") == "hello Ada Lovelace! hello Ada Lovelace!\n"
    grid.file("f.wat", arrayguests.FUNCTIONS)
    assert grid.text("run", "f.wat", "--function", "nothing", "--", "1") == ""
    assert grid.text("run", "f.wat", "--function", "half", "--", "3") == "1.5\n"
    job = json.loads(grid.text(*call, "greet", "--json", "--", "é", "1"))
    assert job["result"]["return_value"] == "hello é!"
    assert 'return value: "hello é!"' in grid.text("status", "last")
    grid.file("names.txt", "Ada 1\n'Grace Hopper' 1\n")
    assert grid.text(*call, "greet", "--each-line", "names.txt") == '"hello Ada!"\n"hello Grace Hopper!"\n'
    grid.file("names.txt", "Ada Lovelace\nGrace\n")
    named = grid.text(*call, "greet", "--each-line", "names.txt", "--", "{line}", "1")
    assert named == '"hello Ada Lovelace!"\n"hello Grace!"\n'


def test_a_function_that_fails_for_some_inputs(grid: Grid) -> None:
    needs(grid, "rs")
    grid.file("lib.rs", RUST)
    alone = grid.run("run", "lib.rs", "--function", "picky", "--", "7")
    assert alone.returncode == 1
    assert "7 is too much" in alone.stderr.decode()
    done = grid.run("run", "lib.rs", "--function", "picky", "--array", "1-4", "--", "{index}")
    assert (done.returncode, done.stdout.decode()) == (1, "1\n4\nnull\nnull\n")
    assert "2 failed" in done.stderr.decode()
    assert "3 is too much" in done.stderr.decode()


def test_a_trap_costs_one_call(grid: Grid) -> None:
    grid.file("f.wat", arrayguests.FUNCTIONS)
    grid.file("in.json", "[[6, 2], [1, 0], [9223372036854775807, 1]]")
    done = grid.run("run", "f.wat", "--function", "divide", "--from-json", "in.json")
    assert (done.returncode, done.stdout.decode()) == (1, "3\nnull\n9223372036854775807\n")
    assert "trapped(integer_division_by_zero)" in done.stderr.decode()


def test_a_function_that_is_not_there(grid: Grid) -> None:
    grid.file("f.wat", arrayguests.FUNCTIONS)
    done = grid.run("run", "f.wat", "--function", "subtract", "--", "2", "3")
    assert done.returncode == 126
    for name in ("add", "half", "divide"):
        assert name in done.stderr.decode()


def test_warm_instances_and_fresh_ones(grid: Grid) -> None:
    grid.file("f.wat", arrayguests.FUNCTIONS)
    call = ("run", "f.wat", "--function", "count", "--array", "0-299")
    warm = [int(line) for line in grid.text(*call).split()]
    assert len(warm) == 300
    assert max(warm) > 1
    assert grid.text(*call, "--isolate").split() == ["1"] * 300


def test_a_map_from_python(grid: Grid) -> None:
    path = grid.file("f.wat", arrayguests.FUNCTIONS)
    with grid.client() as client:
        inputs = lines.of_values([number, 1] for number in range(20_000))
        made = prepare.job(path, function="add", lines=inputs)
        job_id = client.submit_spec(made.spec, made.blobs).id
        values = {each.index: json.loads(bytes(each.return_value)) for each in client.values(job_id, follow=True)}
        assert values == {number: number + 1 for number in range(20_000)}
        assert client.wait(job_id).state == "succeeded"


def test_bench_measures_and_leaves_nothing(grid: Grid) -> None:
    done = grid.run("bench", "--jobs", "5", "--tasks", "50", "--calls", "500", "--json")
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert (figures["single"]["jobs"], figures["array"]["tasks"], figures["calls"]["tasks"]) == (5, 50, 500)
    assert 0 < figures["single"]["p50_ms"] <= figures["single"]["p99_ms"]
    assert min(figures[name]["per_second"] for name in ("array", "calls")) > 0
    shown = grid.run("bench", "--jobs", "3", "--tasks", "0", "--calls", "0").stdout.decode()
    assert shown.splitlines()[1].startswith("single  p50 ")
    assert "█" in shown
    assert "wasmgrid bench" not in grid.text("jobs", "-n", "200")
