"""The private directory of one build.

What a compiler leaves in it is as hostile as the source: links are never followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fnmatch
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from wasmgrid.core.errors import InvalidModule
from wasmgrid.core.units import format_bytes

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


@contextlib.asynccontextmanager
async def work_directory(parent: Path, files: Mapping[str, bytes]) -> AsyncIterator[Path]:
    """A new directory with `files` in its `src`, and `out` and `tmp`; it is removed whatever is in it then."""
    work = parent / f"build-{secrets.token_hex(8)}"
    try:
        await asyncio.to_thread(_make, work, files)
        yield work
    finally:
        await asyncio.shield(asyncio.to_thread(remove, work))


def _make(work: Path, files: Mapping[str, bytes]) -> None:
    work.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    work.mkdir(mode=0o700)
    for name in ("src", "out", "tmp"):
        (work / name).mkdir()
    write_files(work / "src", files)


def remove(directory: Path) -> None:
    """Remove a tree that someone else filled: too deep for recursion, without permissions for ourselves."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(directory)
    if directory.exists():
        for argv in (["chmod", "-R", "u+rwX", "--"], ["rm", "-rf", "--one-file-system", "--"]):
            subprocess.run([*argv, str(directory)], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Write a project whose paths were checked (`project.check_source`) below the empty directory `root`."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(content)


def read_module(out: Path, pattern: str, *, max_bytes: int) -> bytes:
    """The one file below `out` that `pattern` names (its last part may have a *).

    Raises `InvalidModule` where there is none, or several, where a part of its path is a link, where it is anything but
    a plain file, or where it is over `max_bytes`.
    """
    *directories, wanted = pattern.split("/")
    with contextlib.ExitStack() as stack:
        try:
            fd = _opened(stack, os.open(out, _READ | os.O_DIRECTORY))
            for name in directories:
                fd = _opened(stack, os.open(name, _READ | os.O_DIRECTORY, dir_fd=fd))
            found = sorted(fnmatch.filter(os.listdir(fd), wanted))  # noqa: PTH208 - of an open directory
            if not found:
                raise InvalidModule("the compiler made no module")
            if len(found) > 1:
                raise InvalidModule(
                    f"the project makes several programs: {', '.join(found[:10])}", hint="choose: --bin="
                )
            file = _opened(stack, os.open(found[0], _READ | os.O_NONBLOCK, dir_fd=fd))
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise InvalidModule("the compiler made no module") from None
            raise InvalidModule(f"what the build left as its module cannot be read: {error.strerror}") from error
        return _read(file, max_bytes)


def _opened(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _read(fd: int, max_bytes: int) -> bytes:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidModule("what the build left as its module is not a file")
    if status.st_size > max_bytes:
        raise InvalidModule(
            f"the module has {format_bytes(status.st_size)}, this grid takes at most {format_bytes(max_bytes)}"
        )
    parts = []
    while chunk := os.read(fd, _CHUNK_BYTES):
        parts.append(chunk)
    return b"".join(parts)
