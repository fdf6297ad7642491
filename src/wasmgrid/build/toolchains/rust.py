"""Rust: the user's own rustup target where it works, Debian's newest rustc with a std that unwinds, or its old one."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasmgrid.build.functions import rust as functions
from wasmgrid.build.toolchains import hosts
from wasmgrid.build.toolchains.language import Calls, Command, Component, Flag, Language, Unit, pattern
from wasmgrid.build.toolchains.pins import RUST_PACKAGES, RUST_STOCK_PACKAGES
from wasmgrid.build.toolchains.sysroot import SYSROOT
from wasmgrid.build.toolchains.zig import ZIG_WHEEL

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

TARGET = "wasm32-wasip1"
STOCK_TARGET = "wasm32-wasi"  # as wasm32-wasip1 was called before Rust 1.78
UNWINDING = ["-Cpanic=unwind", "-Cllvm-args=-wasm-use-legacy-eh=false", "-Ctarget-feature=+exception-handling"]
_DEFAULT_EDITION = "2021"
_CARGO_ONLY = ("--features", "--no-default-features", "--all-features", "--bin")
_HELLO = """\
fn main() {
    let caught = std::panic::catch_unwind(|| println!("hello"));
    assert!(caught.is_ok());
}
"""


def _install(into: Installation) -> None:
    from wasmgrid.build.rust_std import install_rust  # noqa: PLC0415 - only an installation needs it

    install_rust(into)


def _install_stock(into: Installation) -> None:
    from wasmgrid.build.rust_std import install_stock  # noqa: PLC0415 - only an installation needs it

    install_stock(into)


RUST_COMPONENT = Component(
    name="rust",
    version=RUST_PACKAGES.version,
    revision=f"{RUST_PACKAGES.revision}/{SYSROOT.revision}/1",
    install=_install,
    download_mb=145,
    disk_mb=420,
    install_s=90,
    needs=(ZIG_WHEEL, SYSROOT),
)


RUST_STOCK = Component(
    name="rust-stock",
    version=RUST_STOCK_PACKAGES.version,
    revision=f"{RUST_STOCK_PACKAGES.revision}/1",
    install=_install_stock,
    download_mb=140,
    disk_mb=500,
    install_s=40,
    needs=(ZIG_WHEEL,),
)


@dataclass(frozen=True, kw_only=True)
class _Flavour:
    """Which Rust it is: ours (`rust`), Debian's old one (`rust-stock`) or the user's own (`rust-host`)."""

    root: str
    target: str = TARGET
    flags: list[str] = field(default_factory=list)
    host_linker: str = "/usr/bin/gcc"
    env: dict[str, str] = field(default_factory=dict)


def _flavour(unit: Unit) -> _Flavour:
    if "rust-host" in unit.tools:
        return _Flavour(root=unit.tools["rust-host"])
    own = "rust" in unit.tools
    root = unit.tools["rust" if own else "rust-stock"]
    env = {
        "LD_LIBRARY_PATH": f"{root}/lib/{platform.machine()}-linux-gnu",
        "WASMGRID_ZIG": f"{unit.tools['zig']}/ziglang/zig",  # read by the linker scripts
    }
    linker = f"{root}/bin/host-linker"
    if not own:
        return _Flavour(
            root=root, target=STOCK_TARGET, flags=[f"-Clinker={root}/bin/wasm-ld-14"], host_linker=linker, env=env
        )
    # cos, exp and others of libm are in zig's runtime library, not in its libc.a, which is all that rustc looks into.
    archives = [
        f"-Clink-arg={unit.tools['sysroot']}/lib/lib{name}.a" for name in ("unwind", "clang_rt.builtins-wasm32")
    ]
    flags = [*UNWINDING, f"-Clinker={root}/bin/wasm-linker", *archives]
    return _Flavour(root=root, flags=flags, host_linker=linker, env=env)


def _compile(unit: Unit) -> list[Command]:
    is_cargo = "Cargo.toml" in unit.files or unit.entry.endswith("/Cargo.toml")
    return _cargo(unit, _flavour(unit)) if is_cargo else _rustc(unit, _flavour(unit))


def _rustc(unit: Unit, rust: _Flavour) -> list[Command]:
    kind = ["--crate-type=bin"] if unit.function is None else _library(unit)
    return [_crate(unit, rust, [*kind, "-o", unit.module])]


def _library(unit: Unit) -> list[str]:
    """A library of calls. `forbid(unsafe_code)` is meant for the user's text, and would hold for what is generated."""
    capped = ["--cap-lints=allow"] if b"unsafe_code" in unit.texts[unit.entry] else []
    return ["--crate-type=cdylib", "-Adead_code", *capped]


def _check(unit: Unit) -> list[Command]:
    """Of one file as it came: no module is made."""
    kind = ["--crate-type=lib", "--emit=metadata", "-Adead_code"]
    return [_crate(unit, _flavour(unit), [*kind, "-o", f"{unit.out}/checked.rmeta"])]


def _crate(unit: Unit, rust: _Flavour, made: list[str]) -> Command:
    edition = [] if any(flag.startswith("--edition") for flag in unit.flags) else [f"--edition={_DEFAULT_EDITION}"]
    argv = [
        f"{rust.root}/bin/rustc",
        f"--target={rust.target}",
        "--crate-name=main",
        *("-Copt-level=3", "-Cstrip=debuginfo", *rust.flags),
        *(*edition, *(flag for flag in unit.flags if not flag.startswith(_CARGO_ONLY))),
        *made,
        unit.entry,
    ]
    return Command(argv=argv, env=rust.env)


def _cargo(unit: Unit, rust: _Flavour) -> list[Command]:
    """`cargo build`; the module is the one program it makes (or the one that `--bin=` or the entry names)."""
    directory, _, name = unit.entry.rpartition("/")
    argv = [f"{rust.root}/bin/cargo", "build", "--quiet", "--release", "--offline", f"--target={rust.target}"]
    argv += _vendored(unit)
    if name == "Cargo.toml":
        argv += ["--manifest-path", unit.entry]
    elif directory.endswith("src/bin"):
        argv += [f"--bin={name.removesuffix('.rs')}"]
    argv += [flag for flag in unit.flags if flag.startswith(_CARGO_ONLY)]
    rustc_flags = [flag for flag in unit.flags if flag.startswith(("--cfg", "-C"))]
    env = {
        **rust.env,
        "RUSTC": f"{rust.root}/bin/rustc",
        "CARGO_HOME": f"{unit.temp}/cargo",
        "CARGO_TARGET_DIR": f"{unit.out}/target",
        "CARGO_NET_OFFLINE": "true",
        "CARGO_PROFILE_RELEASE_STRIP": "debuginfo",
        f"CARGO_TARGET_{_variable(rust.target)}_RUSTFLAGS": " ".join([*rust.flags, *rustc_flags]),
        f"CARGO_TARGET_{_variable(f'{platform.machine()}-unknown-linux-gnu')}_LINKER": rust.host_linker,
    }
    return [Command(argv=argv, env=env, produces=f"target/{rust.target}/release/*.wasm")]


def _variable(target: str) -> str:
    return target.upper().replace("-", "_")


def _vendored(unit: Unit) -> list[str]:
    """What `cargo vendor` tells its user to write into .cargo/config.toml, where that was forgotten."""
    configured = {".cargo/config.toml", ".cargo/config"} & set(unit.files)
    if configured or not any(path.startswith("vendor/") for path in unit.files):
        return []
    return ["--config", 'source.crates-io.replace-with="vendored"', "--config", 'source.vendored.directory="vendor"']


RUST = Language(
    name="rust",
    suffixes=(".rs",),
    aliases=("rs",),
    manifest="Cargo.toml",
    looks_like=pattern(
        r"^[ \t]*(pub +)?(async +)?fn main *\( *\)|^[ \t]*use std::|\bprintln!\("
        r"|^[ \t]*(pub +)?(const +)?fn +\w{1,100} *(<[^>]{1,100}>)? *\([^)]{0,200}\) *(->|\{)"
    ),
    main=pattern(r"^[ \t]*(pub +)?fn main *\("),
    flags=(
        Flag(pattern=r"--edition=(2015|2018|2021|2024)", shown="--edition=2021"),
        Flag(pattern=r"-Copt-level=[0123sz]", shown="-Copt-level=3"),
        Flag(pattern=r"-C(debug-assertions|overflow-checks)(=(on|off|yes|no))?", shown="-Coverflow-checks=on"),
        Flag(pattern=r"-Ctarget-feature=\+simd128", shown="-Ctarget-feature=+simd128"),
        Flag(pattern=r"--cfg=\w+(=\"[\w.-]+\")?", shown="--cfg=NAME"),
        Flag(pattern=r"--features=[\w/,-]+", shown="--features=A,B (cargo)"),
        Flag(pattern=r"--no-default-features|--all-features", shown="--no-default-features, --all-features (cargo)"),
        Flag(pattern=r"--bin=[\w-]+", shown="--bin=NAME (cargo)"),
    ),
    components=(RUST_COMPONENT,),
    fallback=(RUST_STOCK,),
    noise=(
        r"^warning: unstable feature specified for `-Ctarget-feature`: `exception-handling`\n(?:[ =|].*\n|\n)*"
        r"|^warning: \d+ warnings? emitted\n\n?|; 1 warning emitted(?=\n)"
    ),
    compile=_compile,
    calls=Calls(wrap=functions.wrap, check=_check, why=functions.why),
    host=lambda: hosts.rust(TARGET),
    hello={"hello.rs": _HELLO},
)
