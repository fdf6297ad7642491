"""Packages out of Debian's signed archive, unpacked into a directory of ours.

apt runs with a state of its own, so no root is needed and the system stays as it is: its sources, keys and proxies are
used, its lists, caches and installed packages are not touched.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from wasmgrid.build import supervised
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import ToolchainUnavailable

INSTALLED = "/var/lib/dpkg/status"  # what this machine has
_NEEDED = ("apt-get", "apt-cache", "dpkg-deb")
_NEVER = (
    "libc6",
    "libc-bin",
    "libcrypt1",
    "libgcc-s1",
    "gcc-12-base",
)  # a second libc in the path breaks every program


def download(names: Sequence[str], libraries: Sequence[str], pool: Path, state: Path) -> None:
    """Put the packages `names`, and those of `libraries` with their needs that are not installed here, into `pool`.

    Raises `ToolchainUnavailable` where there is no apt, no archive, or no such package.
    """
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        raise ToolchainUnavailable(
            f"{', '.join(missing)} not found: this part comes out of Debian's archive",
            hint="on Debian or Ubuntu it installs as it is; elsewhere: rustup target add wasm32-wasip1",
        )
    options = _options(state)
    _run(["apt-get", *options, "-qq", "update"], cwd=state, check=False)  # one broken source must not end it
    pool.mkdir(parents=True, exist_ok=True)
    extra = _missing_libraries(libraries, options, state)
    _run(["apt-get", *options, "-qq", "download", *sorted({*names, *extra})], cwd=pool)


def digests(pool: Path) -> dict[str, str]:
    """Package name -> sha256 of the file that was downloaded."""
    return {path.name.partition("_")[0]: sha256_hex(path.read_bytes()) for path in sorted(pool.glob("*.deb"))}


def version(pool: Path, name: str) -> str:
    """The upstream version of a downloaded package (`1.96.0`)."""
    for path in pool.glob(f"{name}_*.deb"):
        return re.split(r"[+~-]", path.name.split("_")[1].rpartition("%3a")[2])[0]
    return "unknown"


def unpack(pool: Path, target: Path) -> None:
    """Unpack every package of `pool` into `target`, as `dpkg -x` does: no scripts run."""
    for path in sorted(pool.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(path), str(target)], cwd=pool)


def _options(state: Path) -> list[str]:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    values = {
        "Dir::State": state / "state",
        "Dir::State::status": INSTALLED,
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 20,
        "Acquire::Languages": "none",
    }
    return [part for key, value in values.items() for part in ("-o", f"{key}={value}")]


def _missing_libraries(libraries: Sequence[str], options: Sequence[str], state: Path) -> list[str]:
    """What apt would install for `libraries`, which leaves out what this machine has."""
    argv = ["apt-get", *options, "-qq", "install", "--print-uris", "--no-upgrade", "--no-install-recommends", "-y"]
    said = _run([*argv, *libraries], cwd=state)
    names = re.findall(r"^'\S+' (\S+?)_\S+ ", said, re.MULTILINE)
    return [name for name in names if name not in _NEVER]


def _run(argv: Sequence[str], *, cwd: Path, check: bool = True) -> str:
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = supervised.run([shutil.which(argv[0]) or argv[0], *argv[1:]], env=env, cwd=cwd)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-1000:]
        raise ToolchainUnavailable(f"Debian's archive: {' '.join(argv[:1])} failed: {said}")
    return done.stdout.decode("utf-8", "replace")
