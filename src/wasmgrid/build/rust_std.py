"""Rust for wasm32-wasip1 out of Debian packages, with a std that unwinds.

Debian builds its std for this target to abort on panic; ours is built once out of Debian's own std sources, so that
`catch_unwind` works and a panic exits 101 instead of trapping. The linker is the wasm-ld in the wheel `ziglang`.

    bin/    rustc, cargo, rustdoc; wasm-linker and host-linker, which call zig ($WASMGRID_ZIG)
    lib/    <machine>-linux-gnu/ shared libraries, rustlib/
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

from wasmgrid.build.installation import Installation
from wasmgrid.build.toolchains.pins import RUST_PACKAGES, RUST_STOCK_PACKAGES
from wasmgrid.build.toolchains.rust import TARGET, UNWINDING

# What rustc, LLVM and cargo load; only those that this machine lacks are fetched.
_LIBRARIES = """
    libllvm22 libgit2-1.5 libssh2-1 libcurl4 libsqlite3-0 libssl3 libstdc++6 libffi8 libedit2 libz3-4 zlib1g libzstd1
    libxml2
"""

# rustc calls its linker as `LINKER -flavor wasm ...`; zig's wasm-ld is that flavour and knows no such option.
_WASM_LINKER = '#!/bin/sh\n[ "$1" = -flavor ] && shift 2\nexec "$WASMGRID_ZIG" wasm-ld "$@"\n'
# Build scripts and procedural macros are native programs. A machine's own gcc links them; without one zig does, which
# makes a C library for it first, in a cache that it must be able to write to: from then on it starts with a copy.
_HOST_LINKER = """\
#!/bin/sh
[ -x /usr/bin/gcc ] && exec /usr/bin/gcc "$@"
cache="${TMPDIR:-/tmp}/zig-host" made="${0%/*}/../host-cache"
if [ -d "$made" ] && [ ! -d "$cache" ]; then
    cp -r "$made" "$cache.$$" && mv -T "$cache.$$" "$cache" 2>/dev/null || rm -rf "$cache.$$"
fi
export ZIG_GLOBAL_CACHE_DIR="$cache" ZIG_LOCAL_CACHE_DIR="$cache"
exec "$WASMGRID_ZIG" cc -target MACHINE-linux-gnu "$@"
"""


def install_rust(into: Installation) -> None:
    """Fetch, unpack, build std (a minute of two cores), tidy: 420 MB stay."""
    into.debian(RUST_PACKAGES, _LIBRARIES.split())
    into.step("layout", lambda: _layout(into.root))
    into.phase("Rust standard library: preparing", 0.15)
    sources = into.scratch / "std"
    into.step("sources", lambda: _sources(into.root, sources))
    into.phase("Rust standard library: compiling", 0.2)
    into.step("std", lambda: _std(into, sources))
    into.step("tidy", lambda: _tidy(into.root, into.scratch))


def install_stock(into: Installation) -> None:
    """Debian 12's own Rust 1.63 for wasm32-wasi, as it is: old editions, and a panic traps."""
    into.debian(RUST_STOCK_PACKAGES, _LIBRARIES.replace("libllvm22", "libllvm14").split())
    into.step("layout", lambda: _layout(into.root))
    into.step("tidy", lambda: _tidy(into.root, into.scratch))


def _layout(root: Path) -> None:
    """`usr/` becomes the top, as rustup lays it out; shared libraries go into one directory."""
    for path in list((root / "usr").iterdir()):
        path.rename(root / path.name) if path.name != "lib" else _merge(path, root / "lib")
    shutil.rmtree(root / "usr")
    for name, script in (("wasm-linker", _WASM_LINKER), ("host-linker", _HOST_LINKER)):
        path = root / "bin" / name
        path.write_text(script.replace("MACHINE", platform.machine()))
        path.chmod(0o755)


def _merge(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in list(source.iterdir()):
        existing = target / path.name
        if path.is_dir() and not path.is_symlink() and existing.is_dir():
            _merge(path, existing)
        else:
            path.rename(existing)


def _sources(root: Path, sources: Path) -> None:
    """Debian ships them without dev-dependencies and without the crate cc: take their mentions out."""
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(next((root / "src").glob("rustc-*")) / "library", sources, symlinks=True)
    for manifest in sources.glob("*/Cargo.toml"):
        manifest.write_text(_without_sections(manifest.read_text()))
    _edit(sources / "Cargo.toml", r"(?s)members = \[.*?\]", 'members = ["std", "sysroot"]')
    builtins = sources / "compiler-builtins" / "compiler-builtins" / "Cargo.toml"
    _edit(builtins, r"(?m)^cc = \{.*\n", "")
    _edit(builtins, r'(?m)^c = \["dep:cc"\]', "c = []")
    _edit(sources / "sysroot" / "Cargo.toml", r"(?m)^.*profiler.*\n", "")
    (sources / ".cargo").mkdir(exist_ok=True)
    vendored = '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n'
    (sources / ".cargo" / "config.toml").write_text(vendored)


def _without_sections(manifest: str) -> str:
    kept, skipping = [], False
    for line in manifest.splitlines(keepends=True):
        if line.startswith("["):
            skipping = "dev-dependencies" in line or line.startswith("[[bench")
        if not skipping:
            kept.append(line)
    return "".join(kept)


def _edit(path: Path, regex: str, replacement: str) -> None:
    path.write_text(re.sub(regex, replacement, path.read_text()))


def _std(into: Installation, sources: Path) -> None:
    root = into.root
    machine = f"{platform.machine()}-unknown-linux-gnu"
    env = {
        "LD_LIBRARY_PATH": str(root / "lib" / f"{platform.machine()}-linux-gnu"),
        "RUSTC": str(root / "bin" / "rustc"),
        "RUSTC_BOOTSTRAP": "1",
        "CARGO_HOME": str(into.scratch / "cargo"),
        "CARGO_TARGET_DIR": str(into.scratch / "target"),
        f"CARGO_TARGET_{machine.upper().replace('-', '_')}_LINKER": str(root / "bin" / "host-linker"),
        "WASMGRID_ZIG": str(into.tool("zig") / "ziglang" / "zig"),
        "RUSTFLAGS": " ".join(
            [
                *("-Zforce-unstable-if-unmarked", "-Cembed-bitcode=yes", *UNWINDING),
                f"--remap-path-prefix={sources}=/rustc/library",
            ]
        ),
    }
    features = "panic-unwind backtrace compiler-builtins-mem"
    argv = ["build", "-q", "--offline", "--release", "--target", TARGET, "--manifest-path", "sysroot/Cargo.toml"]
    into.run([root / "bin" / "cargo", *argv, "--features", features], env=env, cwd=sources)

    library = root / "lib" / "rustlib" / TARGET / "lib"
    (library / "self-contained").mkdir(parents=True, exist_ok=True)
    for made in (into.scratch / "target" / TARGET / "release" / "deps").glob("*.rlib"):
        shutil.copy(made, library)
    for name in ("libc.a", "crt1-command.o", "crt1-reactor.o"):
        shutil.copy(into.tool("sysroot") / "lib" / name, library / "self-contained")


def _tidy(root: Path, scratch: Path) -> None:
    made = scratch / "zig-host"
    if made.is_dir():
        made.rename(root / "host-cache")
    for name in ("src", "share", "etc", "var", "lib/rustlib/src", "lib/rustlib/etc"):
        shutil.rmtree(root / name, ignore_errors=True)
    for directory, _, files in os.walk(root / "lib"):
        for name in files:
            if name.endswith(".a") and "LLVM" in name:
                (Path(directory) / name).unlink()
