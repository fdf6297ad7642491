"""The guest's file system: `/` is a scratch directory, with the inputs in it or over it, and `/out` to leave artifacts.

Whatever is in the scratch was put there by a guest and is not to be trusted: links are never followed, only regular
files come back, and names are what the guest made them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator

from wasmgrid.runner.frames import IO, SCRATCH, Copy, Left, Run

OUT = "out"
_HOME = frozenset({OUT, "tmp"})  # /tmp because many programs expect one
HOMES = [f"{SCRATCH}/{name}" for name in sorted(_HOME)]
MAX_ARTIFACTS = 10_000
MAX_DEPTH = 64
_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TooMuch(Exception):
    """Files in /out beyond the cap; `kept` are those before it."""

    def __init__(self, message: str, kept: list[Left]) -> None:
        super().__init__(message)
        self.kept = kept


def prepare(run: Run) -> None:
    """Lay out the clean scratch for a task of `run`; raises OSError (ENOSPC where inputs exceed `disk_mb`)."""
    for mount in run.mounts:
        os.makedirs(_inside(mount.guest), exist_ok=True)  # so that a listing of / shows it
    _copy_all(run.copies)


def directories(run: Run) -> list[str]:
    """Every directory of a scratch that was prepared for `run`, which has no copies: nothing else is in it."""
    found = dict.fromkeys([SCRATCH, *HOMES])
    for mount in run.mounts:
        parts = mount.guest.strip("/").split("/")
        found.update(dict.fromkeys(_inside("/".join(parts[: depth + 1])) for depth in range(len(parts))))
    return list(found)


def _inside(guest: str) -> str:
    return f"{SCRATCH}/{guest.strip('/')}".rstrip("/")


def _copy_all(copies: list[Copy]) -> None:
    """Writable copies first: a directory of a read-only one is locked afterwards, unless it lies in a writable one."""
    for copy in copies:
        if copy.writable:
            _copy_in(copy)
    open_tops = [SCRATCH, *(_inside(copy.guest) for copy in copies if copy.writable)]
    for copy in copies:
        if not copy.writable:
            for directory in reversed(_copy_in(copy)):
                if not any(
                    directory == top or (top != SCRATCH and directory.startswith(top + "/")) for top in open_tops
                ):
                    os.chmod(directory, 0o500)


def _copy_in(copy: Copy) -> list[str]:
    """Copy one directory's content; answers the directories that hold it now, outer ones first."""
    target, mode = _inside(copy.guest), 0o600 if copy.writable else 0o400
    directories = []
    for directory, _, files in os.walk(copy.host):
        there = os.path.normpath(f"{target}/{os.path.relpath(directory, copy.host)}")
        os.makedirs(there, exist_ok=True)
        directories.append(there)
        for name in files:
            _copy_file(f"{directory}/{name}", f"{there}/{name}", mode)
    return directories


def _copy_file(source: str, target: str, mode: int) -> None:
    with open(source, "rb") as reader:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with open(descriptor, "wb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK)


def collect(attempt: str, cap: int) -> list[Left]:
    """Copy what is in /out to box/io as `<attempt>.out.<n>`; raises `TooMuch` at the first file past `cap` bytes."""
    left: list[Left] = []
    total = 0
    for path, source in _regular_files():
        try:
            size = os.fstat(source).st_size
            if total + size > cap or len(left) >= MAX_ARTIFACTS:
                raise TooMuch(f"the files in /out are over {cap} bytes or {MAX_ARTIFACTS} files: {path[:200]}", left)
            name = f"{attempt}.out.{len(left)}"
            left.append(Left(path, name, _copy_out(source, f"{IO}/{name}", size)))
            total += size
        finally:
            os.close(source)
    return left


def _regular_files() -> Iterator[tuple[str, int]]:
    top = f"{SCRATCH}/{OUT}"
    try:
        if not stat.S_ISDIR(os.lstat(top).st_mode) or not os.listdir(top):
            return
    except OSError:
        return  # the guest removed it
    for directory, names, files, descriptor in os.fwalk(top, follow_symlinks=False):
        names.sort()
        relative = os.path.relpath(directory, top)
        if relative.count("/") >= MAX_DEPTH:
            names.clear()
        for name in sorted(files):
            path = name if relative == "." else f"{relative}/{name}"
            if not _is_text(path):
                continue  # a name that no answer could show
            try:
                source = os.open(name, _READ, dir_fd=descriptor)
            except OSError:
                continue  # a link, or unreadable
            if stat.S_ISREG(os.fstat(source).st_mode):
                yield path, source
            else:
                os.close(source)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _copy_out(source: int, target: str, size: int) -> int:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with open(descriptor, "wb") as writer:
        copied = 0
        while copied < size and (data := os.read(source, min(_CHUNK, size - copied))):
            writer.write(data)
            copied += len(data)
    return copied


def is_clean() -> bool:
    """Whether there is nothing but the empty directories that every guest finds: most leave nothing behind."""
    try:
        return set(os.listdir(SCRATCH)) == _HOME and not any(os.listdir(f"{SCRATCH}/{name}") for name in _HOME)
    except OSError:
        return False


def wipe() -> None:
    """Empty the scratch; raises OSError where something resists: the runner must not be used again then."""
    for name in os.listdir(SCRATCH):
        path = f"{SCRATCH}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            _unlock(path)
            shutil.rmtree(path)
        else:
            os.unlink(path)
    for name in _HOME:
        os.mkdir(f"{SCRATCH}/{name}")


def _unlock(top: str) -> None:
    # Read-only directories of inputs must be opened up before what is in them can go.
    for directory, _, _, descriptor in os.fwalk(top, follow_symlinks=False):
        if os.fstat(descriptor).st_mode & 0o300 != 0o300:
            os.chmod(directory, 0o700)


def weigh() -> int:
    """Bytes on disk in the scratch; raises OSError where it cannot be told (too deep, out of descriptors)."""
    total, waiting = 0, [SCRATCH]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                try:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                except FileNotFoundError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return total
