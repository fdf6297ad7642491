"""Every language, in the sandbox: a program that must run, and projects of several files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmgrid.build import hello
from wasmgrid.build.builder import Builder, Built
from wasmgrid.build.provision import default_directory
from wasmgrid.build.toolchains import LANGUAGES
from wasmgrid.build.wasm import inspect
from wasmgrid.core.bundle import is_bundle, unpack
from wasmgrid.core.outcome import OutcomeKind

Build = Callable[..., Built]
COMPILED = [name for name in LANGUAGES if LANGUAGES[name].hello]


def output_is(built: Built, expected: str) -> None:
    """The build succeeded, and what it made prints `expected`."""
    assert built.outcome.kind is OutcomeKind.EXITED, f"{built.outcome.message}\n{built.diagnostics}"
    assert built.module is not None
    code = interpreter_of(built.module)
    assert asyncio.run(hello.prints(built.module, expected, code))


def interpreter_of(module: bytes) -> Path | None:
    """The machine code of a bundle's interpreter."""
    builder = Builder(default_directory(), Path("/nonexistent"))
    return builder.interpreter(unpack(module).interpreter).code if is_bundle(module) else None


@pytest.mark.parametrize("name", COMPILED)
def test_hello(build: Build, name: str) -> None:
    built = build(LANGUAGES[name].hello)
    output_is(built, "hello\n")
    assert built.module is not None
    assert inspect(built.module).memories == (0 if is_bundle(built.module) else 1)
    assert b".debug_info" not in built.module
    assert built.diagnostics == ""
    assert build(LANGUAGES[name].hello).module == built.module  # the same source gives the same module
    assert built.toolchain.startswith(f"{name}-")
    assert built.build_ms > 0


@pytest.mark.parametrize("name", ["rust", "go", "zig"])
def test_source_from_stdin_gets_a_name(build: Build, name: str) -> None:
    output_is(build({"stdin": next(iter(LANGUAGES[name].hello.values()))}), "hello\n")


def test_a_ready_module(build: Build) -> None:
    module = build(LANGUAGES["wat"].hello).module
    assert module is not None
    built = build({"x.wasm": module})
    assert built.module == module
    assert built.outcome.succeeded


def test_names_of_functions_stay_for_backtraces(build: Build) -> None:
    source = '#include <stdio.h>\n__attribute__((noinline)) int remembered(int x) { return puts(x ? "a" : "b"); }\n'
    built = build({"a.c": source + "int main(int n, char **v) { return remembered(n) < 0; }\n"})
    assert built.module is not None
    assert b"remembered" in built.module


def test_c_of_several_files_and_a_header(build: Build) -> None:
    files = {
        "main.c": '#include <stdio.h>\n#include "lib/twice.h"\nint main(void) { printf("%d\\n", twice(21)); }\n',
        "lib/twice.h": "int twice(int x);\n",
        "lib/twice.c": '#include "twice.h"\nint twice(int x) { return FACTOR * x; }\n',
        "tests/other.c": "int main(void) { return 1; }\n",
    }
    output_is(build(files, flags=["-DFACTOR=2", "-std=c17", "-Wall", "-Werror"]), "42\n")


def test_c_keeps_its_promises_setjmp_and_math(build: Build) -> None:
    source = """
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
static jmp_buf env;
static void handler(int number) { printf("signal %d\\n", number); }
int main(void) {
    signal(SIGTERM, handler);
    raise(SIGTERM);
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    page[0] = 'm';
    if (setjmp(env) == 0) longjmp(env, 1);
    printf("%c %.1f\\n", page[0], sqrt(2.25));
}
"""
    output_is(build({"a.c": source}, flags=["-lm"]), "signal 15\nm 1.5\n")


def test_cpp_keeps_its_promises(build: Build) -> None:
    source = """
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
struct Loud { ~Loud() { std::cout << "unwound\\n"; } };
int main() {
    try { Loud loud; std::map<int, int>().at(1); } catch (const std::out_of_range &) { std::cout << "caught\\n"; }
    std::cout << std::regex_replace(std::string("a-b"), std::regex("-"), "+") << "\\n";
    std::cout << std::filesystem::path("/a/b.txt").extension().string() << "\\n";
    std::ifstream missing("/nothing");
    std::cout << missing.good() << std::endl;
}
"""
    output_is(build({"a.cpp": source}, flags=["-std=c++20"]), "unwound\ncaught\na+b\n.txt\n0\n")


def test_c_and_cpp_in_one_program(build: Build) -> None:
    files = {
        "main.cpp": '#include <cstdio>\nextern "C" int seven(void);\nint main() { std::printf("%d\\n", seven()); }\n',
        "seven.c": "int seven(void) { return 7; }\n",
    }
    output_is(build(files, flags=["-std=c++17"]), "7\n")


def test_rust_panics_unwind_and_exit_101(build: Build) -> None:
    source = 'fn main() { println!("{}", std::panic::catch_unwind(|| panic!("x")).is_err()); }'
    output_is(build({"a.rs": source}, flags=["--edition=2024", "-Copt-level=1"]), "true\n")


RUST_MATHS = """
use std::hint::black_box as b;
fn main() {
    let (x, y): (f64, f32) = (b(0.5), b(0.5));
    println!("{:.3} {:.3} {:.3} {:.3} {:.3}", x.sin(), x.cos(), x.tan(), x.exp(), x.ln());
    println!("{:.3} {:.3} {:.3} {:.3} {:.3}", x.powf(1.5), x.log2(), x.log10(), x.exp2(), x.cbrt());
    println!("{:.3} {:.3} {:.3} {:.3} {:.3}", x.asin(), x.acos(), x.atan(), x.atan2(b(2.0)), x.hypot(b(2.0)));
    println!("{:.3} {:.3} {:.3} {:.3} {:.3}", x.sinh(), x.cosh(), x.tanh(), x.asinh(), x.exp_m1());
    println!("{:.3} {:.3} {:.3} {:.3} {:.3}", y.sin(), y.cos(), y.exp(), y.ln(), y.powf(1.5));
    println!("{:.3} {:.3} {}", x % b(0.3), x.mul_add(b(2.0), b(1.0)), b(u128::MAX) / b(7));
}
"""
RUST_SUMS = """\
0.479 0.878 0.546 1.649 -0.693
0.354 -1.000 -0.301 1.414 0.794
0.524 1.047 0.464 0.245 2.062
0.521 1.128 0.462 0.481 0.649
0.479 0.878 1.649 -0.693 0.354
0.200 2.000 48611766702991209066196372490252601636
"""


def test_rust_has_the_functions_of_a_mathematical_library(build: Build) -> None:
    output_is(build({"maths.rs": RUST_MATHS}), RUST_SUMS)
    manifest = '[package]\nname = "maths"\nversion = "0.1.0"\nedition = "2021"\n'
    output_is(build({"Cargo.toml": manifest, "src/main.rs": RUST_MATHS}), RUST_SUMS)


def test_rust_with_a_module_beside_it(build: Build) -> None:
    output_is(
        build({"main.rs": "mod side;\nfn main() { side::say(); }", "side.rs": 'pub fn say() { println!("side"); }'}),
        "side\n",
    )


def test_a_cargo_project_with_a_path_dependency_and_a_build_script(build: Build) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n'
        '[features]\nloud = []\n[dependencies]\nlocal = { path = "local" }\n',
        "build.rs": 'fn main() { println!("cargo:rustc-env=MADE=built"); }',
        "src/main.rs": 'fn main() { println!("{} {} {}", local::seven(), env!("MADE"), cfg!(feature = "loud")); }',
        "local/Cargo.toml": '[package]\nname = "local"\nversion = "0.1.0"\nedition = "2021"\n',
        "local/src/lib.rs": "pub fn seven() -> i32 { 7 }",
    }
    output_is(build(files, flags=["--features=loud"]), "7 built true\n")


def test_a_cargo_project_with_a_vendored_procedural_macro(build: Build) -> None:
    manifest = '[package]\nname = "{0}"\nversion = "{1}"\nedition = "2021"\n'
    files = {
        "Cargo.toml": manifest.format("demo", "0.1.0") + '[dependencies]\nanswer = "1"\n',
        "src/main.rs": 'fn main() { println!("{}", answer::answer!()); }',
        "vendor/answer/Cargo.toml": manifest.format("answer", "1.0.0") + "[lib]\nproc-macro = true\n",
        "vendor/answer/src/lib.rs": "use proc_macro::TokenStream;\n"
        '#[proc_macro]\npub fn answer(_: TokenStream) -> TokenStream { "42".parse().unwrap() }',
        "vendor/answer/.cargo-checksum.json": '{"files": {}, "package": null}',
    }
    output_is(build(files), "42\n")


def test_several_cargo_programs_want_a_choice(build: Build) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/bin/one.rs": 'fn main() { println!("one"); }',
        "src/bin/two.rs": 'fn main() { println!("two"); }',
    }
    undecided = build(files)
    assert undecided.outcome.kind is OutcomeKind.BUILD_FAILED
    assert "one.wasm, two.wasm" in (undecided.outcome.message or "")
    output_is(build(files, flags=["--bin=two"]), "two\n")
    output_is(build(files, entry="src/bin/one.rs"), "one\n")


def test_a_go_module_with_packages_and_tags(build: Build) -> None:
    files = {
        "go.mod": "module example.com/demo\n\ngo 1.21\n",
        "main.go": 'package main\n\nimport "fmt"\nimport "example.com/demo/side"\n\n'
        "func main() { fmt.Println(side.Seven(), tag) }\n",
        "plain.go": '//go:build !loud\n\npackage main\n\nconst tag = "plain"\n',
        "loud.go": '//go:build loud\n\npackage main\n\nconst tag = "loud"\n',
        "side/side.go": "package side\n\nfunc Seven() int { return 7 }\n",
        "cmd/other/main.go": 'package main\n\nfunc main() { println("other") }\n',
    }
    output_is(build(files, flags=["-tags=loud"]), "7 loud\n")
    assert build(files, entry="cmd/other/main.go").outcome.succeeded


def test_go_files_side_by_side_without_a_module(build: Build) -> None:
    files = {
        "main.go": "package main\n\nfunc main() { say() }\n",
        "say.go": 'package main\n\nimport "fmt"\n\nfunc say() { fmt.Println("said") }\n',
    }
    output_is(build(files), "said\n")


def test_zig_with_a_sibling_import(build: Build) -> None:
    hello_text = next(iter(LANGUAGES["zig"].hello.values()))
    files = {
        "main.zig": hello_text.replace('"hello\\n", .len = 6', "side.text, .len = 6").replace(
            "pub fn", 'const side = @import("side.zig");\npub fn'
        ),
        "side.zig": 'pub const text = "aside\\n";\n',
    }
    output_is(build(files, flags=["-OReleaseSmall"]), "aside\n")


def test_a_library_is_told_to_become_a_program(build: Build) -> None:
    built = build({"a.wat": '(module (func (export "add") (result i32) i32.const 1))'})
    assert built.outcome.kind is OutcomeKind.BUILD_FAILED
    assert "add (function)" in (built.outcome.message or "")
