"""What else runs here: each peer and runtime in an environment of its own, made on demand and kept below .cache/.

None of them is a dependency of the project, none is in its lock. One that cannot be had is reported with the reason
and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import CACHE

_INSTALL_TIMEOUT_S = 600.0


class MissingError(Exception):
    """A peer, runtime or tool that cannot be had here; the message says why."""


def environment(name: str, *packages: str) -> Path:
    """The python of the environment `name` with `packages` in it; raises `MissingError` with pip's last words."""
    folder = CACHE / "environments" / name
    python = folder / "bin" / "python"
    marker = folder / "packages"
    wanted = " ".join(packages)
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"  making the environment {name}: {wanted}", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    marker.write_text(wanted, encoding="utf-8")
    return python


def tool(name: str, package: str) -> str:
    """The path of a command of the machine; raises `MissingError` that names Debian's package."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise MissingError(f"there is no {name} here; Debian's package {package} has it")
    return found


def version(argv: list[str]) -> str:
    """The first line of what a command says of its version."""
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return (said.stdout or said.stderr).strip().partition("\n")[0]


def _run(argv: list[str]) -> None:
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_INSTALL_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(str(error)) from error
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"{argv[0]} ended with {ended.returncode}"]
        raise MissingError(words[-1])
