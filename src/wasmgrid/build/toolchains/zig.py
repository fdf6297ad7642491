"""Zig, out of the wheel `ziglang`, whose clang and wasm-ld also serve C, C++ and Rust."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmgrid.build.functions import zig as functions
from wasmgrid.build.functions.wrap import beside
from wasmgrid.build.toolchains.language import Calls, Command, Component, Flag, Language, Unit, pattern
from wasmgrid.build.toolchains.pins import ZIGLANG

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

_HELLO = """\
const std = @import("std");
pub fn main() void {
    const iovs = [_]std.os.wasi.ciovec_t{.{ .base = "hello\\n", .len = 6 }};
    var written: usize = 0;
    _ = std.os.wasi.fd_write(1, &iovs, 1, &written);
}
"""


def _install_wheel(into: Installation) -> None:
    into.wheel(ZIGLANG)
    (into.root / "ziglang" / "zig").chmod(0o755)


def _warm(into: Installation) -> None:
    """Zig compiles parts of its standard library at first use: five seconds that every build would pay."""
    into.compile_hello(ZIG, tools={"zigcache": str(into.root / "cache")})


ZIG_WHEEL = Component(
    name="zig",
    version=ZIGLANG.version,
    revision=ZIGLANG.revision,
    install=_install_wheel,
    download_mb=100,
    disk_mb=400,
    install_s=10,
)

_ZIG_CACHE = Component(
    name="zigcache",
    version=ZIGLANG.version,
    revision=f"{ZIGLANG.revision}/2",
    install=_warm,
    download_mb=0,
    disk_mb=20,
    install_s=10,
    needs=(ZIG_WHEEL,),
    writable="cache",
)


def _compile(unit: Unit) -> list[Command]:
    flags = [part for flag in unit.flags for part in (["-O", flag[2:].strip()] if flag.startswith("-O") else [flag])]
    mode = [] if "-O" in flags else ["-O", "ReleaseSafe"]
    root = unit.entry if unit.function is None else beside(unit.entry, "entry.zig")
    exports = [] if unit.function is None else [f"--export=wasmgrid_{name}" for name in ("alloc", "call", "signature")]
    return [
        Command(
            argv=[
                f"{unit.tools['zig']}/ziglang/zig",
                "build-exe",
                *("-target", "wasm32-wasi"),
                *mode,
                *flags,
                *exports,
                *("--cache-dir", f"{unit.temp}/zig", "--global-cache-dir", unit.tools["zigcache"]),
                f"-femit-bin={unit.module}",
                root,
            ]
        )
    ]


def _check(unit: Unit) -> list[Command]:
    """Whether it is Zig at all; types are looked at where something refers to them."""
    return [Command(argv=[f"{unit.tools['zig']}/ziglang/zig", "ast-check", unit.entry])]


ZIG = Language(
    name="zig",
    suffixes=(".zig",),
    aliases=("ziglang",),
    looks_like=pattern(
        r"@import\(\"|\bpub fn main\([^)]{0,200}\) *(!|void\b|anyerror\b|u8\b)"
        r"|^[ \t]*(pub +)?fn +\w{1,100}\([^)]{0,200}\) *[!\w.?*\[\]]{1,100} *\{"
    ),
    main=pattern(r"\bpub fn main *\("),
    flags=(
        Flag(
            pattern=r"-O ?(Debug|ReleaseSafe|ReleaseFast|ReleaseSmall)", shown="-OReleaseFast, -OReleaseSmall, -ODebug"
        ),
        Flag(pattern=r"-f(no-)?(strip|single-threaded|error-tracing)", shown="-fstrip, -fsingle-threaded"),
    ),
    components=(ZIG_WHEEL, _ZIG_CACHE),
    overlays=("zigcache",),
    compile=_compile,
    calls=Calls(wrap=functions.wrap, check=_check, why=functions.why, own=functions.own),
    hello={"hello.zig": _HELLO},
)
