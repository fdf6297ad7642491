"""Which language a source is in, by name, by content, and when that cannot be told."""

from __future__ import annotations

import pytest

from wasmgrid.build.toolchains import LANGUAGES, infer, named
from wasmgrid.core.errors import InvalidField, LanguageUnknown


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.rs", "rust"),
        ("a.c", "c"),
        ("a.cpp", "cpp"),
        ("a.cc", "cpp"),
        ("a.C", "cpp"),
        ("a.go", "go"),
        ("a.zig", "zig"),
        ("a.wat", "wat"),
        ("a.wasm", "wasm"),
        ("a.py", "python"),
        ("a.js", "javascript"),
        ("a.mjs", "javascript"),
        ("a.ts", "typescript"),
    ],
)
def test_a_name_tells_the_language(path: str, language: str) -> None:
    assert infer({path: b"whatever"}) == (language, path)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("fn main() {}", "rust"),
        ("fn steps(n: u64) -> u32 { std::iter::once(n).count() as u32 }", "rust"),
        ("pub fn pair<T>(a: T) {}", "rust"),
        ("fn add(a: i32, b: i32) i32 {\n    return a + b;\n}", "zig"),
        ("use std::io;\npub fn main() { println!(); }", "rust"),
        ("// hi\npackage main\n\nfunc main() {}", "go"),
        ("#include <stdio.h>\nint main(void) { return 0; }", "c"),
        ("int main() { return 0; }", "c"),
        ("#include <iostream>\nint main() {}", "cpp"),
        ('#include <stdio.h>\nint main() { std::puts("x"); }', "cpp"),
        ('const std = @import("std");\npub fn main() !void {}', "zig"),
        ("pub fn main() void {}", "zig"),
        (";; text\n(module)", "wat"),
        ("\0asm\x01\0\0\0", "wasm"),
        ("import sys\nprint(sys.argv)\n", "python"),
        ("#!/usr/bin/env python3\nx = 1\n", "python"),
        ("class A:\n    pass\n", "python"),
        ("for x in range(3):\n    y = x\n", "python"),
        ('console.log("def f(x):")\n', "javascript"),
        ("const x = 1;\nprint(x)\n", "javascript"),
        ("import { x } from './y.js';\n", "javascript"),
        ("let x: number = 5;\nconsole.log(x);\n", "typescript"),
        ("interface A {\n  b: number;\n}\n", "typescript"),
    ],
)
def test_source_from_stdin_is_told_by_its_content(text: str, language: str) -> None:
    assert infer({"stdin": text.encode()}) == (language, "stdin")


@pytest.mark.parametrize("name", [name for name in LANGUAGES if LANGUAGES[name].hello])
def test_every_hello_is_recognised_without_its_name(name: str) -> None:
    text = next(iter(LANGUAGES[name].hello.values()))
    assert infer({"stdin": text.encode()})[0] == name


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"Cargo.toml": b"", "src/main.rs": b"", "build.c": b""}, ("rust", "Cargo.toml")),
        ({"go.mod": b"", "main.go": b"", "x.c": b""}, ("go", "go.mod")),
        ({"main.c": b"int main(){}", "other.c": b"int f(){}", "a.h": b""}, ("c", "main.c")),
        ({"one.c": b"int main(){}", "two.c": b"int f(){}"}, ("c", "one.c")),
        ({"one.c": b"int main(){}", "two.cpp": b"int f(){}"}, ("cpp", "one.c")),
        ({"src/main.zig": b"", "src/x.zig": b"", "README.md": b""}, ("zig", "src/main.zig")),
        ({"main.py": b"", "lib.py": b"", "page.js": b""}, ("python", "main.py")),
        ({"__main__.py": b"", "lib.py": b""}, ("python", "__main__.py")),
        ({"app.py": b"if __name__ == '__main__': pass", "lib.py": b""}, ("python", "app.py")),
        ({"app/only.py": b"", "README.md": b""}, ("python", "app/only.py")),
        ({"index.js": b"", "lib.js": b""}, ("javascript", "index.js")),
        ({"main.ts": b"", "lib.js": b""}, ("typescript", "main.ts")),
    ],
)
def test_a_project_is_told_by_its_files(files: dict[str, bytes], expected: tuple[str, str]) -> None:
    assert infer(files) == expected


def test_the_entry_decides_among_languages() -> None:
    assert infer({"a.rs": b"", "b.go": b""}, None, "b.go") == ("go", "b.go")


def test_the_language_can_be_said_by_an_alias() -> None:
    assert infer({"x": b"int main(){}"}, "C++") == ("cpp", "x")
    assert named("golang").name == "go"


@pytest.mark.parametrize(
    ("files", "language", "entry"),
    [
        ({"notes.txt": b"hello"}, None, None),
        ({"a.rs": b"", "b.go": b""}, None, None),
        ({"a.c": b"int main(){}", "b.c": b"int main(){}"}, None, None),
        ({"a.c": b"int f(){}", "b.c": b"int g(){}"}, None, None),
        ({"a.c": b""}, "fortran", None),
        ({"a.txt": b"", "b.txt": b""}, "rust", None),
    ],
)
def test_what_cannot_be_told_says_what_to_say(files: dict[str, bytes], language: str | None, entry: str | None) -> None:
    with pytest.raises(LanguageUnknown) as refused:
        infer(files, language, entry)
    assert refused.value.field in {"source.language", "source.entry"}


def test_an_entry_that_is_no_file_is_refused() -> None:
    with pytest.raises(InvalidField) as refused:
        infer({"a.rs": b""}, "rust", "b.rs")
    assert refused.value.field == "source.entry"


PIECES = [
    "\n",
    " ",
    "\t\n",
    "(;;)",
    "(; ",
    ";;\n",
    "main",
    "main\n",
    "pub fn main(",
    "int ",
    "#",
    "# include <",
    "fn main",
    "fn f(",
    "fn f() ",
    "fn f<",
    "/",
]


@pytest.mark.parametrize("piece", PIECES)
def test_no_text_takes_long_to_judge(piece: str) -> None:
    text = piece * (64 * 1024 // len(piece))
    for each in LANGUAGES.values():
        each.looks_like(text)
        each.main(text)
