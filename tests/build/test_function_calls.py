"""Functions as people write them: borrowed texts, errors, state, lists in C, names in namespaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wasmtime
from tests.build.calls import Instance, run

from wasmgrid.build.builder import Built

Build = Callable[..., Built]

DRIVER = """
(module
  (import "guest" "wasmgrid_call" (func $call (param i32 i32) (result i64)))
  (func (export "repeat") (param $at i32) (param $size i32) (param $times i32)
    (loop $again
      (drop (call $call (local.get $at) (local.get $size)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
"""
MAKES_TEXT = {
    "a.rs": 'fn f(x: &str, n: u32) -> String { format!("{x}{n}") }\n',
    "a.c": "#include <stdio.h>\n#include <stdlib.h>\nchar *f(const char *x, unsigned n) {\n"
    '    char *made = malloc(99);\n    snprintf(made, 99, "%s%u", x, n);\n    return made;\n}\n',
    "a.cpp": "#include <string>\nstd::string f(const std::string &x, unsigned n) { return x + std::to_string(n); }\n",
    "a.go": 'package main\n\nimport "strconv"\n\nfunc f(x string, n int) string { return x + strconv.Itoa(n) }\n',
    "a.zig": 'const std = @import("std");\nfn f(all: std.mem.Allocator, x: []const u8, n: u32) ![]u8 {\n'
    '    return std.fmt.allocPrint(all, "{s}{d}", .{ x, n });\n}\n',
}
GO_ERROR = """\
package main

import "fmt"

func f(x int) (int, error) {
	if x < 0 {
		return 0, fmt.Errorf("negative")
	}
	return x, nil
}
"""
FAILS = {
    "a.rs": (
        'fn f(x: i32) -> Result<i32, String> { if x < 0 { Err("negative".into()) } else { Ok(x) } }\n',
        "!negative",
    ),
    "b.rs": ('fn f(x: i32) -> i32 { if x < 0 { panic!("negative") } x }\n', "!panicked at b.rs:1:34:\nnegative"),
    "a.cpp": (
        '#include <stdexcept>\nint f(int x) { if (x < 0) throw std::range_error("negative"); return x; }\n',
        "!negative",
    ),
    "b.cpp": ("int f(int x) { if (x < 0) throw x; return x; }\n", "!an exception that is no std::exception"),
    "a.go": (GO_ERROR, "!negative"),
    "b.go": (
        "package main\n\nfunc f(x int) int { return []int{5: x}[x] }\n",
        "!panic: runtime error: index out of range [-1]",
    ),
    "a.zig": ("fn f(x: i32) error{Negative}!i32 {\n    return if (x < 0) error.Negative else x;\n}\n", "!Negative"),
}


def instance_of(built: Built) -> Instance:
    """An instance of what was built."""
    assert built.module is not None, f"{built.outcome.message}\n{built.diagnostics}"
    return Instance(built.module)


@pytest.mark.parametrize("name", MAKES_TEXT)
def test_memory_does_not_grow_over_100_000_calls(build: Build, name: str) -> None:
    instance = instance_of(build({name: MAKES_TEXT[name]}, function="f"))
    assert instance.call('["x\\u00e9",7]') == '="xé7"'
    call = b'["' + b"long " * 100 + b'\\u00e9", 7]'
    at = instance.exports["wasmgrid_alloc"](instance.store, len(call))
    instance.memory.write(instance.store, call, at)
    driver = wasmtime.Module(instance.store.engine, DRIVER)
    guest = [instance.exports["wasmgrid_call"]]
    repeat = wasmtime.Instance(instance.store, driver, guest).exports(instance.store)["repeat"]
    assert isinstance(repeat, wasmtime.Func)
    repeat(instance.store, at, len(call), 20_000)
    before = instance.pages()
    repeat(instance.store, at, len(call), 80_000)
    assert instance.pages() - before <= (64 if name.endswith(".go") else 0)  # Go collects when it likes


@pytest.mark.parametrize("name", FAILS)
def test_a_function_that_fails_says_why_and_goes_on(build: Build, name: str) -> None:
    text, told = FAILS[name]
    instance = instance_of(build({name: text}, function="f"))
    assert instance.call("[5]") == "=5"
    assert instance.call("[-1]") == told
    assert instance.call("[5]") == "=5"
    assert instance.said("stderr") == ""  # it is the host's to tell


def test_what_a_function_prints_is_there_when_it_has_ended(build: Build) -> None:
    sources = {
        "a.rs": 'fn f(x: i32) { print!("<{x}>"); }\n',
        "a.c": '#include <stdio.h>\nvoid f(int x) { printf("<%d>", x); }\n',
        "a.cpp": "#include <iostream>\nvoid f(int x) { "
        "std::ios::sync_with_stdio(false); std::cout << '<' << x << '>'; }\n",
    }
    for name, text in sources.items():
        instance = instance_of(build({name: text}, function="f"))
        assert instance.call("[5]") == "=null"
        assert instance.said("stdout") == "<5>"
        assert instance.signature().startswith("f(x: i")
        assert "->" not in instance.signature()


def test_constructors_and_state_of_a_file(build: Build) -> None:
    sources = {
        "a.cpp": "#include <vector>\nstatic std::vector<int> seen(3, 7);\n"
        "int f(int x) { seen.push_back(x); return seen.size(); }\n",
        "a.c": "static int seen;\n__attribute__((constructor)) static void begin(void) { seen = 3; }\n"
        "int f(int x) { return ++seen; }\n",
        "a.go": "package main\n\nvar seen = 3\n\nfunc init() {}\nfunc main() {}\n"
        "func f(x int) int { seen++; return seen }\n",
    }
    for name, text in sources.items():
        instance = instance_of(build({name: text}, function="f"))
        assert [instance.call("[1]") for _ in range(3)] == ["=4", "=5", "=6"]


def test_rust_borrows_and_options(build: Build) -> None:
    text = "fn f(a: &[&str], b: Option<&str>, c: &f64, d: &Vec<u8>, e: [i8; 2], g: (bool, char)) -> Option<String> {\n"
    text += (
        '    Some(format!("{a:?} {b:?} {c} {d:?} {e:?} {g:?}")).filter(|_| !a.is_empty())\n}\nfn main() { panic!() }\n'
    )
    built = build({"a.rs": text}, function="f", flags=["--edition=2024"])
    instance = instance_of(built)
    answer = instance.call('[["x","é"],null,2,[255],[1,-2],[true,"ß"]]')
    assert answer == '="[\\"x\\", \\"é\\"] None 2 [255] [1, -2] (true, \'ß\')"'
    assert instance.call('[[],"y",0.5,[],[0,0],[false,"."]]') == "=null"
    assert instance.call('[[],"y",0.5,[],[0],[false,"."]]').startswith("?argument 5 (e): [i8; 2] is wanted, not [0]; ")
    assert built.diagnostics == ""
    assert built.module is not None
    assert run(built.module, "[]", "null", "0", "[]", "[1,2]", '[true,"x"]') == (0, "", "")
    assert run(built.module, "x").exit_code == 2


def test_c_lists_and_texts(build: Build) -> None:
    text = """
#include <stddef.h>
#include <string.h>
typedef const float *values;
double mean(values xs, size_t n, const char *how) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += xs[i];
    return *how ? sum / n : sum;
}
const char *longest(char **words, unsigned short n) {
    const char *found = NULL;
    for (int i = 0; i < n; i++) if (!found || strlen(words[i]) > strlen(found)) found = words[i];
    return found;
}
void sort(short xs[], int n) {
    for (int i = 1; i < n; i++)
        for (int j = i; j && xs[j - 1] > xs[j]; j--) {
            short x = xs[j];
            xs[j] = xs[j - 1];
            xs[j - 1] = x;
        }
}
char *same(char *text) { return text; }
int main(void) { return 7; }
"""
    mean = instance_of(build({"a.c": text}, function="mean"))
    assert mean.signature() == "mean(xs: float[], how: const char *) -> double"
    assert mean.call('[[1,2.5],"x"]') == "=1.75"
    assert mean.call('[[1,2.5],"a\\u0000b"]').startswith("?argument 2 (how): const char * is wanted")
    longest = instance_of(build({"a.c": text}, function="longest"))
    assert (longest.call('[["a","bcd","é"]]'), longest.call("[[]]")) == ('="bcd"', "=null")
    sort = instance_of(build({"a.c": text}, function="sort", flags=["-std=c99", "-Wall", "-Werror", "-ffast-math"]))
    assert sort.signature() == "sort(xs: short[]) -> short[]"
    assert sort.call("[[3,-1,2]]") == "=[-1,2,3]"
    same = instance_of(build({"a.c": text}, function="same"))
    assert [same.call('["x"]') for _ in range(3)] == ['="x"'] * 3


def test_functions_in_namespaces_and_flags(build: Build) -> None:
    cpp = "namespace math { namespace { int add(int a, int b) noexcept { return a + b * FACTOR; } } }\nint main() {}\n"
    built = build(
        {"a.cpp": cpp}, function="math::add", flags=["-std=c++11", "-DFACTOR=2", "-fno-exceptions", "-Werror"]
    )
    assert instance_of(built).call("[1,2]") == "=5"
    rust = "mod math { pub fn add(a: u8, b: u8) -> u8 { a + b } }\n"
    assert instance_of(build({"a.rs": rust}, function="math::add")).call("[1,2]") == "=3"


def test_functions_in_projects(build: Build) -> None:
    package = {
        "go.mod": "module demo\n\ngo 1.21\n",
        "a.go": "package main\n\nfunc add(a, b int) int { return a + b }\n",
    }
    built = build({**package, "main.go": "package main\n\nfunc main() {}\n"}, function="add")
    assert instance_of(built).call("[1,2]") == "=3"
    assert instance_of(built).signature() == "add(a: int, b: int) -> int"
    rust = {
        "main.rs": "mod side;\nfn add(a: u8) -> u8 { side::one(a) }\n",
        "side.rs": "pub fn one(a: u8) -> u8 { a + 1 }\n",
    }
    assert instance_of(build(rust, function="add")).call("[1]") == "=2"
    crate = {"Cargo.toml": "[package]\n", "src/lib.rs": "pub fn add(a: u8) -> u8 { a }\n"}
    for entry in (None, "src/lib.rs"):
        refused = build(crate, entry=entry, function="add").outcome.message or ""
        assert refused.startswith("functions of a cargo project cannot be called: give the file")


def test_a_ready_module_offers_what_it_exports(build: Build) -> None:
    text = '(module (func (export "add-one") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))'
    module = build({"a.wat": text}, function="add-one").module
    assert module is not None
    assert build({"a.wasm": module}, function="add-one").outcome.succeeded
    refused = build({"a.wasm": module}, function="add\n")
    assert not refused.outcome.succeeded
    missing = build({"a.wasm": module}, function="add").outcome
    assert missing.message == "the module exports no function add; the functions that it exports: add-one"
