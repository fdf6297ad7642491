"""A user's own Rust or Go, where it looks as if it could compile for WASI. Whether it does is found out by a probe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from wasmgrid.build.toolchains.language import HostTool
from wasmgrid.core.digest import sha256_hex

_ASKED_S = 20.0
_OLDEST_GO = (1, 21)  # the first that knows wasip1


def rust(target: str) -> HostTool | None:
    """The rustc in PATH, where its sysroot has a std for `target` (`rustup target add`)."""
    said = _ask(["rustc", "-vV"], {"RUSTUP_AUTO_INSTALL": "0"})
    sysroot = _ask(["rustc", "--print", "sysroot"], {"RUSTUP_AUTO_INSTALL": "0"})
    if said is None or sysroot is None:
        return None
    root = Path(sysroot.strip())
    library = root / "lib" / "rustlib" / target / "lib"
    crates = sorted(f"{path.name} {path.stat().st_size}" for path in library.glob("*.rlib"))
    if not (root / "bin" / "rustc").is_file() or not any(crate.startswith("libstd-") for crate in crates):
        return None
    release = re.search(r"^release: (\S+)", said, re.MULTILINE)
    return HostTool(
        version=release[1] if release else "unknown",
        revision=f"rustc {sha256_hex((said + ' '.join(crates)).encode())[:16]}",
        tools={"rust-host": str(root)},
    )


def go() -> tuple[str, str] | None:
    """(GOROOT, version) of the go in PATH, where it is new enough."""
    said = _ask(["go", "env", "GOROOT", "GOVERSION"], {"GOTOOLCHAIN": "local", "GOENV": "off"})
    found = re.fullmatch(r"(/.+)\ngo((\d+)\.(\d+)\S*)\n", said or "")
    if found is None or (int(found[3]), int(found[4])) < _OLDEST_GO or not Path(found[1], "bin", "go").is_file():
        return None
    return found[1], found[2]


def _ask(argv: list[str], env: Mapping[str, str]) -> str | None:
    """What a command of the user's prints, or None where there is none, or it fails."""
    program = shutil.which(argv[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASKED_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
