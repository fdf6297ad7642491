"""Sources that attack the compiler's machine: by includes, bombs, floods of words, and programs that a build runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from wasmgrid.build.builder import Builder, Built
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.sandbox import Kind, Sandbox
from wasmgrid.core.outcome import OutcomeKind

Build = Callable[..., Built]

# Low enough to be met soon, on a busy machine too.
SMALL = BuildLimits(cpu_s=2.0, wall_s=90.0, memory_mb=400, disk_mb=64, files=500, file_mb=32)
MANIFEST = '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n'


def fails(built: Built, *words: str) -> None:
    """The build failed, with these words in its message or the diagnostics."""
    assert built.outcome.kind is OutcomeKind.BUILD_FAILED, built
    assert built.module is None
    said = f"{built.outcome.message}\n{built.diagnostics}"
    for word in words:
        assert word in said


def cargo(build_script: str) -> dict[str, str]:
    """A project whose build script is native code that runs at its build."""
    return {"Cargo.toml": MANIFEST, "build.rs": build_script, "src/main.rs": "fn main() {}"}


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"hello.rs": 'fn main() {\n    let x: i32 = "a";\n}\n'}, "hello.rs:2:18"),
        ({"hello.c": "int main(void) {\n    return x;\n}\n"}, "hello.c:2:12: error"),
        ({"hello.cpp": "int main() {\n    return x;\n}\n"}, "hello.cpp:2:12: error"),
        ({"hello.go": "package main\n\nfunc main() {\n\tx := 1\n}\n"}, "hello.go:4:2: declared and not used"),
        ({"hello.zig": "pub fn main() void {\n    return x;\n}\n"}, "hello.zig:2:12: error"),
        ({"hello.wat": "(module\n  (func nonsense))\n"}, "hello.wat:2:9"),
        ({"Cargo.toml": MANIFEST, "src/main.rs": "fn main() {\n    x\n}\n"}, "src/main.rs:2:5"),
    ],
)
def test_hostile_01_syntax_error(build: Build, files: dict[str, str], place: str) -> None:
    built = build(files)
    fails(built, place)
    for leak in ("/root", "/work", "/tmp", "/toolchain/rust"):
        assert leak not in built.diagnostics.replace("(/work/src)", "")


@pytest.mark.parametrize(
    "files",
    [
        {"a.rs": b'fn main() { println!("\xe9"); }'},
        {"a.go": b"package main\nfunc main() { \xe9\0 }"},
        {"a.zig": b"pub fn main() void { \0 }"},
        {"a.wat": b"(module \xff)"},
        {"a.cpp": b"int main() { \xff\0 }"},
    ],
)
def test_hostile_02_source_not_utf8_or_with_nul(build: Build, files: dict[str, bytes]) -> None:
    fails(build(files))


@pytest.mark.parametrize(
    "text",
    [
        '#include "/etc/passwd"\nint main(void) { return 0; }\n',
        '#include "../../../../etc/passwd"\nint main(void) { return 0; }\n',
        '__asm__(".incbin \\"/etc/passwd\\"");\nint main(void) { return 0; }\n',
        'const char x[] = {\n#embed "/etc/passwd"\n};\nint main(void) { return 0; }\n',
        '#include "/proc/self/root/etc/passwd"\nint main(void) { return 0; }\n',
        '#include "/proc/1/root/etc/passwd"\nint main(void) { return 0; }\n',
    ],
)
def test_hostile_04_including_files_of_the_host(build: Build, text: str) -> None:
    built = build({"a.c": text})
    fails(built)
    assert "root:" not in built.diagnostics


@pytest.mark.parametrize(
    "files",
    [
        {"a.c": '#include "/dev/zero"\nint main(void) { return 0; }\n'},
        {"a.rs": 'const X: &[u8] = include_bytes!("/dev/zero");\nfn main() { println!("{}", X.len()); }\n'},
        {"a.rs": 'const X: &[u8] = include_bytes!("/dev/urandom");\nfn main() { println!("{}", X.len()); }\n'},
    ],
)
def test_hostile_05_endless_devices(build: Build, files: dict[str, str]) -> None:
    built = build(files, limits=SMALL)
    fails(built)
    assert (
        "limit of" in (built.outcome.message or "")
        or "No such file" in built.diagnostics
        or "not found" in built.diagnostics
    )


def test_hostile_06_a_build_script_opens_a_socket(build: Build) -> None:
    script = """
use std::net::{TcpListener, TcpStream, UdpSocket};
fn main() {
    assert!(TcpStream::connect("192.0.2.1:80").is_err());
    assert!(TcpStream::connect("127.0.0.1:PORT").is_err());
    assert!(UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", "192.0.2.1:53")).is_err());
    let alone = TcpListener::bind("127.0.0.1:0").is_err() || std::fs::read_dir("/sys/class/net").is_err();
    assert!(alone);
}
"""

    async def with_a_listener() -> Built:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(build, cargo(script.replace("PORT", str(port))))

    built = asyncio.run(with_a_listener())
    assert built.outcome.succeeded, built


def test_hostile_07_host_files_and_variables_in_rust(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.rs"
    secret.write_text("the-secret")
    monkeypatch.setenv("WASMGRID_TEST_SECRET", "the-secret")
    texts = (
        f'println!("{{}}{{}}", include_str!("{secret}"), include_str!("/etc/passwd"));',
        f'#[path = "{secret}"] mod s;',
    )
    for text in (*texts, 'println!("{}", env!("WASMGRID_TEST_SECRET"));'):
        built = build({"a.rs": f"fn main() {{ {text} }}"})
        fails(built, "No such file" if str(secret) in text else "not defined at compile time")
        assert "the-secret" not in built.diagnostics
        assert "root:" not in built.diagnostics


def test_hostile_07_a_build_script_finds_nothing_of_the_host(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMGRID_TEST_SECRET", "the-secret")
    script = """
use std::fs;
fn main() {
    assert!(std::env::var("WASMGRID_TEST_SECRET").is_err());
    for path in ["/etc/passwd", "/root", "/home", "/var", "/etc/shadow", "/sys"] {
        assert!(fs::metadata(path).is_err(), "{path}");
    }
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path().join("environ");
        let read = fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&read).contains("the-secret"), "{path:?}");
    }
    for path in ["/x", "/usr/x", "/toolchain/x", "/toolchain/rust/bin/x", "/work/../x"] {
        assert!(fs::write(path, "x").is_err(), "{path}");
    }
}
"""
    assert build(cargo(script)).outcome.succeeded


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (
            {"a.go": 'package main\n\n// #cgo CFLAGS: -fplugin=/x.so\nimport "C"\n\nfunc main() {}\n'},
            "no Go source files",
        ),
        ({"go.mod": "module a.b/c\n\ngo 1.99\n", "main.go": "package main\n\nfunc main() {}\n"}, "requires go >= 1.99"),
        (
            {
                "go.mod": "module a.b/c\n\ngo 1.21\n\nrequire d.e/f v0.0.0\n\nreplace d.e/f => /usr/lib/go\n",
                "main.go": 'package main\n\nimport _ "d.e/f"\n\nfunc main() {}\n',
            },
            "replacement directory /usr/lib/go",
        ),
        (
            {
                "go.mod": "module a.b/c\n\ngo 1.21\n",
                "main.go": 'package main\n\nimport _ "golang.org/x/net"\n\nfunc main() {}\n',
            },
            "no required module provides",
        ),
    ],
)
def test_hostile_08_cgo_toolchain_downloads_and_absolute_replacements(
    build: Build, files: dict[str, str], word: str
) -> None:
    fails(build(files), word)


@pytest.mark.parametrize(
    "files",
    [
        {
            "a.cpp": "template <int N> struct A { static const int v = A<N - 1>::v + A<N - 2>::v + N; };\n"
            "constexpr int spin() { int x = 0; for (long i = 0; i < 1000000000; ++i) x += i & 3; return x; }\n"
            "constexpr int X = spin();\nint main() { return X; }\n"
        },
        {"a.rs": "#![allow(long_running_const_eval)]\nconst X: u32 = { loop {} };\nfn main() { print!(\"{X}\"); }\n"},
        {"a.zig": "fn spin() u64 { @setEvalBranchQuota(4000000000); var x: u64 = 0; while (true) x +%= 1; return x; }\n"
                  "pub fn main() void { comptime { _ = spin(); } }\n"},
    ],
)  # fmt: skip
def test_hostile_09_endless_compile_time_computation(build: Build, files: dict[str, str]) -> None:
    flags = ["-std=c++20"] if "a.cpp" in files else []
    built = build(files, flags=flags, limits=SMALL)
    fails(built)
    if "a.cpp" not in files:  # clang counts the steps of a constant expression by itself
        fails(built, "limit of cpu time (2 s)")


def test_hostile_09_a_template_bomb(build: Build) -> None:
    text = """
template <int A, int B, int C> struct Grid {
    static constexpr unsigned v = Grid<A - 1, B, C>::v + Grid<A, B - 1, C>::v + Grid<A, B, C - 1>::v;
};
template <int B, int C> struct Grid<0, B, C> { static constexpr unsigned v = 1; };
template <int A, int C> struct Grid<A, 0, C> { static constexpr unsigned v = 1; };
template <int A, int B> struct Grid<A, B, 0> { static constexpr unsigned v = 1; };
int main() { return Grid<250, 251, 252>::v; }
"""
    fails(build({"a.cpp": text}, limits=SMALL), "limit of")


def test_hostile_10_a_macro_that_expands_to_gigabytes(build: Build) -> None:
    doubling = "\n".join(f"#define A{n} A{n - 1}, A{n - 1}" for n in range(1, 33))
    fails(build({"a.c": f"#define A0 1\n{doubling}\nint x[] = {{ A32 }};\nint main(void) {{ return 0; }}\n"}, limits=
        msgspec.structs.replace(SMALL, cpu_s=60.0)), "limit of memory (400 MB)")  # fmt: skip


def test_hostile_10_a_huge_module_is_not_written(build: Build) -> None:
    text = "char big[1024 * 1024 * 300] = {1};\nint main(void) { return big[0]; }\n"
    fails(build({"a.c": text}, limits=SMALL), "limit of")


def test_hostile_11_a_gigabyte_of_diagnostics(build: Build) -> None:
    script = """
use std::io::Write;
fn main() {
    let line = vec![b'x'; 1 << 20];
    for _ in 0..1024 { std::io::stderr().write_all(&line).unwrap(); }
    std::process::exit(1);
}
"""
    # cargo keeps what a build script says in its own memory: that is a cap, too. clang's notes come straight out.
    fails(build(cargo(script), limits=SMALL))
    nested = "\n".join(f"template <int N> struct S{n} {{ S{n + 1}<N> x; }};" for n in range(200))
    calls = "\n".join(f"int a{n} = undefined_name_{'y' * 200}_{n};" for n in range(5000))
    built = build({"a.cpp": f"template <int N> struct S200 {{ int x = N.y; }};\n{nested}\n{calls}"}, flags=["-Wall"])
    fails(built)
    assert len(built.diagnostics.encode()) <= 64 * 1024


def test_hostile_11_diagnostics_are_cut_flagged_and_drained(build: Build) -> None:
    warnings = "\n".join(f'#warning "{"w" * 4000} {n}"' for n in range(300))
    built = build(
        {"a.c": f"{warnings}\nint main(void) {{ return 0; }}\n"}, limits=BuildLimits(diagnostics_bytes=10_000)
    )
    assert built.outcome.succeeded  # megabytes more were read and forgotten: the compiler never waited
    assert built.diagnostics_truncated
    assert len(built.diagnostics.encode()) <= 10_000
    assert built.diagnostics.startswith("a.c:1:2: warning")


DAEMON = """
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
extern "C" { fn fork() -> i32; fn setsid() -> i32; }
fn main() {
    unsafe {
        if fork() == 0 {
            setsid();
            if fork() == 0 {
                let mut sleeper = Command::new("/usr/bin/sleep");
                sleeper.arg("86399.MARK").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                panic!("{}", sleeper.exec());
            }
            std::process::exit(0);
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
}
"""


def living(mark: str) -> list[int]:
    """Processes with `mark` in their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


@pytest.mark.parametrize("kind", [None, Kind.LANDLOCK])
def test_hostile_13_a_daemon_dies_with_its_build(build: Build, kind: Kind | None) -> None:
    mark = f"{os.getpid()}{time.monotonic_ns()}"
    held = Sandbox(kind=kind, root=os.geteuid() == 0) if kind is not None else None
    built = build(cargo(DAEMON.replace("MARK", mark)), held=held)
    assert built.outcome.succeeded, built
    assert living(mark) == []


def test_hostile_13_a_fork_bomb_is_bounded(build: Build) -> None:
    script = 'extern "C" { fn fork() -> i32; }\nfn main() { loop { unsafe { fork(); } } }\n'
    built = build(cargo(script), limits=msgspec.structs.replace(SMALL, processes=64))
    fails(built, "limit of")


def test_hostile_16_a_build_script_plants_a_link_where_the_module_goes(build: Build) -> None:
    script = """
fn main() {
    let out = std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("../../..");
    std::os::unix::fs::symlink("/usr/bin/true", out.join("aaa.wasm")).unwrap();
}
"""
    files = {**cargo(script), "src/main.rs": "fn main() {}"}
    built = build(files)
    fails(built)
    assert "several programs" in (built.outcome.message or "") or "cannot be read" in (built.outcome.message or "")


def test_a_build_script_cannot_fill_the_disk(build: Build) -> None:
    script = """
fn main() {
    for n in 0..100000 { std::fs::write(format!("/work/out/{n}"), vec![1u8; 1 << 20]).unwrap(); }
}
"""
    fails(build(cargo(script), limits=SMALL), "limit of disk (64 MB, 500 files)")


def test_hostile_17_a_source_that_is_not_the_one_submitted(make_builder: Callable[..., Builder]) -> None:
    from wasmgrid.core.digest import pack_files
    from wasmgrid.core.job import SourceRef
    from wasmgrid.core.resources import Resources
    from wasmgrid.core.wire import BuildWork

    reference = SourceRef(sha256="0" * 64, language="c", entry="a.c")
    work = BuildWork(build_id=1, build_key="k", source=reference, toolchain="", need=Resources())

    async def go() -> Built:
        return await make_builder().build(work, pack_files({"a.c": b"int main(void) { return 0; }"}))

    built = asyncio.run(go())
    assert built.outcome.kind is OutcomeKind.REJECTED
    assert "not the one" in (built.outcome.message or "")
