"""Rust: Debian's rustc with a std built to unwind, or the user's own rustup target where it compiles and runs."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wasmgrid.build.toolchains import hosts
from wasmgrid.build.toolchains.language import Command, Component, Flag, Language, Unit, pattern
from wasmgrid.build.toolchains.pins import RUST_PACKAGES
from wasmgrid.build.toolchains.sysroot import SYSROOT
from wasmgrid.build.toolchains.zig import ZIG_WHEEL

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

TARGET = "wasm32-wasip1"
UNWINDING = ["-Cpanic=unwind", "-Cllvm-args=-wasm-use-legacy-eh=false", "-Ctarget-feature=+exception-handling"]
_DEFAULT_EDITION = "2021"
_HELLO = """\
fn main() {
    let caught = std::panic::catch_unwind(|| println!("hello"));
    assert!(caught.is_ok());
}
"""


def _install(into: Installation) -> None:
    from wasmgrid.build.rust_std import install_rust  # noqa: PLC0415 - only an installation needs it

    install_rust(into)


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


def _compile(unit: Unit) -> list[Command]:
    return _cargo(unit) if "Cargo.toml" in unit.files else _rustc(unit)


def _rustc(unit: Unit) -> list[Command]:
    bin_dir = _root(unit) + "/bin"
    edition = [] if any(flag.startswith("--edition") for flag in unit.flags) else [f"--edition={_DEFAULT_EDITION}"]
    linker = [] if _own(unit) is None else [f"-Clinker={bin_dir}/wasm-linker"]
    argv = [
        f"{bin_dir}/rustc",
        f"--target={TARGET}",
        "--crate-type=bin",
        "--crate-name=main",
        *("-Copt-level=3", "-Cstrip=debuginfo", *linker, *_target_flags(unit)),
        *(*edition, *_without_cargo_flags(unit.flags)),
        *("-o", unit.module, unit.entry),
    ]
    return [Command(argv=argv, env=_environment(unit))]


def _cargo(unit: Unit) -> list[Command]:
    """`cargo build`; the module is the one program it makes (or the one that `--bin=` or the entry names)."""
    directory, _, name = unit.entry.rpartition("/")
    bin_dir = _root(unit) + "/bin"
    argv = [f"{bin_dir}/cargo", "build", "--quiet", "--release", "--offline", f"--target={TARGET}", *_vendored(unit)]
    if name == "Cargo.toml":
        argv += ["--manifest-path", unit.entry]
    elif directory.endswith("src/bin"):
        argv += [f"--bin={name.removesuffix('.rs')}"]
    argv += [flag for flag in unit.flags if flag.startswith("--") and not flag.startswith(("--edition", "--cfg"))]
    rustc_flags = [flag for flag in unit.flags if flag.startswith(("--cfg", "-C"))]
    env = {
        **_environment(unit),
        "RUSTC": f"{bin_dir}/rustc",
        "CARGO_HOME": f"{unit.temp}/cargo",
        "CARGO_TARGET_DIR": f"{unit.out}/target",
        "CARGO_NET_OFFLINE": "true",
        "CARGO_PROFILE_RELEASE_STRIP": "debuginfo",
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join([*_target_flags(unit), *rustc_flags]),
    }
    if _own(unit) is not None:
        env["CARGO_TARGET_WASM32_WASIP1_LINKER"] = f"{bin_dir}/wasm-linker"
        env["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER"] = f"{bin_dir}/host-linker"
        env["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"] = f"{bin_dir}/host-linker"
    return [Command(argv=argv, env=env, produces=f"target/{TARGET}/release/*.wasm")]


def _vendored(unit: Unit) -> list[str]:
    """What `cargo vendor` tells its user to write into .cargo/config.toml, where that was forgotten."""
    configured = {".cargo/config.toml", ".cargo/config"} & set(unit.files)
    if configured or not any(path.startswith("vendor/") for path in unit.files):
        return []
    return ["--config", 'source.crates-io.replace-with="vendored"', "--config", 'source.vendored.directory="vendor"']


def _own(unit: Unit) -> str | None:
    return unit.tools.get("rust")


def _root(unit: Unit) -> str:
    return _own(unit) or unit.tools["rust-host"]


def _target_flags(unit: Unit) -> list[str]:
    if _own(unit) is None:
        return []
    return [*UNWINDING, f"-Clink-arg={unit.tools['sysroot']}/lib/libunwind.a"]


def _environment(unit: Unit) -> dict[str, str]:
    root = _own(unit)
    if root is None:
        return {}
    return {
        "LD_LIBRARY_PATH": f"{root}/lib/{platform.machine()}-linux-gnu",
        "WASMGRID_ZIG": f"{unit.tools['zig']}/ziglang/zig",  # read by the linker scripts
    }


def _without_cargo_flags(flags: Iterable[str]) -> list[str]:
    return [flag for flag in flags if not flag.startswith(("--features", "--no-default", "--all-feat", "--bin"))]


RUST = Language(
    name="rust",
    suffixes=(".rs",),
    aliases=("rs",),
    manifest="Cargo.toml",
    looks_like=pattern(r"^\s*(pub\s+)?(async\s+)?fn main\s*\(\s*\)|^\s*use std::|\bprintln!\("),
    main=pattern(r"^\s*(pub\s+)?fn main\s*\("),
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
    noise=(
        r"^warning: unstable feature specified for `-Ctarget-feature`: `exception-handling`\n(?:[ =|].*\n|\n)*"
        r"|^warning: \d+ warnings? emitted\n\n?|; 1 warning emitted(?=\n)"
    ),
    compile=_compile,
    host=lambda: hosts.rust(TARGET),
    hello={"hello.rs": _HELLO},
)
