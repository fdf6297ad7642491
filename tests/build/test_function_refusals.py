"""What the author of a file is told whose function cannot be called, and never a line of what is generated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wasmgrid.build.builder import Builder, Built
from wasmgrid.build.functions.names import check_function
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.outcome import OutcomeKind

Build = Callable[..., Built]

# (file, text, what the message says, what the diagnostics say)
MISSING = {
    "a.rs": "fn mul(a: i32) -> i32 { a }\nimpl X { fn add(self) {} }\nstruct X;\n/* fn no() {} */ fn sub() {}\n",
    "a.cpp": "int mul(int a) { return a; }\nnamespace x { int sub() { return 0; } }\n"
    "struct Y { int no() { return 0; } };\n",
    "a.c": "int mul(int a) { if (a) return 1; return a; }\nstatic int sub(void) { return mul(1); }\n",
    "a.go": "package main\n\nfunc mul(a int) int { return a }\n\ntype T int\n\nfunc (t T) add() {}\nfunc sub() {}\n",
    "a.zig": 'fn mul(a: i32) i32 {\n    return a;\n}\npub fn sub() void {}\ntest "fn no() {" {}\n',
}
UNSUPPORTED = {
    "a.rs": ("struct Foo;\nfn add(a: i32, p: &Foo) -> i32 { a }\n", "its parameter `p: &Foo` is of the type &Foo"),
    "b.rs": ("struct Foo;\nfn add(a: i32) -> Foo { Foo }\n", "its result is of the type Foo"),
    "c.rs": ("fn add<T>(a: T) -> T { a }\n", "cannot be called as it is: add(a: T) -> T"),
    "a.cpp": (
        "#include <map>\nint add(int a, std::map<int, int> m) { return a; }\n",
        "its parameter `std::map<int, int> m` is of the type std::map<int, int>",
    ),
    "b.cpp": (
        "int add(int a) { return a; }\ndouble add(double a) { return a; }\n",
        "there are 2 functions of that name",
    ),
    "a.c": ("int add(int n, double *xs) { return n; }\n", "its parameter `xs` is of the type double *"),
    "b.c": (
        "struct p { int x; };\nstruct p add(void) { struct p y = {1}; return y; }\n",
        "its result is of the type p",
    ),
    "a.go": (
        "package main\n\nfunc add(a int, m map[int]int) int { return a }\n",
        "`m map[int]int` is of the type map[int]int",
    ),
    "b.go": ("package adder\n\nfunc add(a int) int { return a }\n", "is not of package main"),
    "a.zig": (
        "const P = struct { x: i32 };\nfn add(a: i32, p: P) i32 {\n    return a + p.x;\n}\n",
        "its parameter `p: P` is of the type a.P",
    ),
}
BROKEN = {
    "a.rs": ('fn add(a: i32) -> i32 {\n    "x"\n}', "a.rs:2:5"),
    "b.rs": ("fn add(a: i32) -> i32 {\n    a", "a.rs:2:6"),
    "a.cpp": ("int add(int a) {\n    return nothing;\n}", "a.cpp:2:12"),
    "a.c": ("int add(int a) {\n    return a\n}", "a.c:2:13"),
    "a.go": ("package main\n\nfunc add(a int) int {\n\tx := 1\n\treturn a\n}", "a.go:4:2"),
    "a.zig": ('fn add(a: i32) i32 {\n    _ = a;\n    return "x";\n}', "a.zig:3:12"),
    "b.zig": ("fn add(a: i32) i32 {\n    return a\n}", "a.zig:2:13"),
}
TAKEN = {
    "a.rs": '#[no_mangle]\npub extern "C" fn wasmgrid_call() {}\nfn add(a: i32) -> i32 { a }\n',
    "a.c": "void wasmgrid_perform(void) {}\nint add(int a) { return a; }\n",
    "a.go": "package main\n\nfunc wasmgridRead() {}\nfunc add(a int) int { return a }\n",
    "a.zig": "export fn wasmgrid_call() void {}\nfn add(a: i32) i32 {\n    return a;\n}\n",
}


def message_of(built: Built) -> str:
    """Why a build failed; nothing generated is in what is told."""
    assert built.outcome.kind is OutcomeKind.BUILD_FAILED, built
    assert built.module is None
    assert "wasmgrid_" not in built.diagnostics
    return built.outcome.message or ""


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_function_is_told_with_those_that_are_there(build: Build, name: str) -> None:
    built = build({name: MISSING[name]}, function="add")
    assert message_of(built) == f"there is no function add in {name}; the functions in it: mul, sub"
    assert built.diagnostics == ""


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_type_that_no_call_can_hold_is_named(build: Build, name: str) -> None:
    text, told = UNSUPPORTED[name]
    assert told in message_of(build({name: text}, function="add"))


@pytest.mark.parametrize("name", BROKEN)
def test_diagnostics_are_of_the_users_file(build: Build, name: str) -> None:
    text, place = BROKEN[name]
    built = build({f"a{name[1:]}": text}, function="add")
    assert message_of(built) == "the compiler refused the source"
    assert place in built.diagnostics


@pytest.mark.parametrize("name", TAKEN)
def test_names_of_the_grids_own_are_refused(build: Build, name: str) -> None:
    told = message_of(build({name: TAKEN[name]}, function="add"))
    assert told == f"{name} cannot be compiled for calls: names that begin with wasmgrid are the grid's own"


def test_files_of_the_grids_own_names_are_refused(build: Build) -> None:
    files = {"a.c": "int add(int a) { return a; }\n", "wasmgrid_table.h": "#error mine\n"}
    assert "wasmgrid_table.h has one of the grid's own names" in message_of(build(files, entry="a.c", function="add"))


@pytest.mark.parametrize("language", ["rust", "c", "cpp", "go", "zig"])
@pytest.mark.parametrize(
    "name",
    [
        "",
        " add",
        "add()",
        "add); evil(",
        "a b",
        "a\nb",
        "a;b",
        "1add",
        "add\0",
        "größe",
        "a" * 201,
        "a-b",
        "::add",
        "a::",
        "wasmgrid_call",
        "a::wasmgrid_x",
        '"',
        "{}",
        "add//",
        "add\\",
    ],
)
def test_hostile_51_names_that_are_no_names(language: str, name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_function(language, name)
    assert refused.value.field == "function"


def test_names_that_are_paths() -> None:
    check_function("rust", "math::add")
    check_function("cpp", "math::add")
    check_function("zig", "Math.add")
    check_function("wasm", "wasi:cli/run@0.2.0#run")
    for language in ("c", "go"):
        with pytest.raises(InvalidField):
            check_function(language, "math::add")


def test_a_worker_checks_the_name_again(
    make_builder: Callable[..., Builder], work_for: Callable[..., tuple[object, bytes]]
) -> None:
    import asyncio

    work, source = work_for({"a.c": "int add(int a) { return a; }\n"}, function="add); evil(")
    built = asyncio.run(make_builder().build(work, source))  # type: ignore[arg-type]
    assert built.outcome.kind is OutcomeKind.REJECTED
    assert "is not the name of a c function" in (built.outcome.message or "")
