"""A task's inputs, laid out in its runner's box: files copied, trees unpacked, nothing but files and directories."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import IO, NamedTuple

from wasmgrid.core.errors import InvalidField, TooLarge
from wasmgrid.core.job import Input
from wasmgrid.core.limits import MB
from wasmgrid.core.paths import check_guest, check_relative
from wasmgrid.runner.frames import INPUTS, Copy, Mount

MAX_ENTRIES = 100_000
_FIELD = "inputs"
_ROOT = "/"


class Layout(NamedTuple):
    """How a runner makes the laid-out inputs visible. Mounts cost nothing; copies are part of the guest's scratch."""

    mounts: list[Mount]
    copies: list[Copy]


class _Group(NamedTuple):
    guest: str  # the directory in which they appear
    writable: bool
    name: str  # the directory under box/in that holds them


def lay_out(box: Path, inputs: list[tuple[Input, Path]], *, label: str = "", max_bytes: int = 16 * 1024 * MB) -> Layout:
    """Put `inputs` (each with the local file of its blob) under `box`/in and say how they become visible. Blocking.

    `label` begins the names there, so that attempts of one runner never meet.

    Raises `InvalidField` for paths that collide or escape and for links and devices in a tree, `TooLarge` for more than
    `max_bytes` or `MAX_ENTRIES`, OSError where the disk is full.
    """
    groups: dict[tuple[str, bool], _Group] = {}
    budget = _Budget(max_bytes)
    for wanted, blob in inputs:
        path = check_guest(wanted.path, field=_FIELD)
        guest = path if wanted.tree else _parent(path)
        key = (guest, wanted.writable)
        if key not in groups:
            groups[key] = _Group(guest, wanted.writable, f"{INPUTS}/{label}{len(groups)}")
            _make_directory(box / groups[key].name)
        target = box / groups[key].name
        if wanted.tree:
            _unpack(blob, target, budget)
        elif path == _ROOT:
            raise InvalidField("a single file cannot be put at /; name the file, as in /data.csv", field=_FIELD)
        else:
            budget.take(blob.stat().st_size)
            with blob.open("rb") as reader:
                _write(target / path.rpartition("/")[2], reader)
    return _show(box, list(groups.values()))


def _show(box: Path, groups: list[_Group]) -> Layout:
    mounts, copies = [], []
    writable = [group.guest for group in groups if group.writable]
    for group in groups:
        # A read-only directory is mapped as it is, unless something writable lies in it or it is / itself, which is
        # the guest's scratch: then it is copied there, and its modes keep it read-only.
        mixed = any(_is_within(guest, group.guest) for guest in writable)
        if group.writable or mixed or group.guest == _ROOT:
            copies.append(Copy(group.name, group.guest, group.writable))
        else:
            mounts.append(Mount(group.name, group.guest))
    for inner in mounts:
        for outer in mounts:
            if inner is not outer and _is_within(inner.guest, outer.guest):
                (box / outer.host / inner.guest[len(outer.guest) + 1 :]).mkdir(parents=True, exist_ok=True)
    return Layout(mounts, copies)


def _is_within(inner: str, outer: str) -> bool:
    return outer in (_ROOT, inner) or inner.startswith(outer + "/")


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or _ROOT


class _Budget:
    def __init__(self, max_bytes: int) -> None:
        self._bytes_left = max_bytes
        self._entries_left = MAX_ENTRIES

    def take(self, size: int) -> None:
        self._bytes_left -= size
        self._entries_left -= 1
        if self._bytes_left < 0 or self._entries_left < 0:
            raise TooLarge(f"the inputs unpack to too much (at most {MAX_ENTRIES} files)", field=_FIELD)


def _unpack(blob: Path, target: Path, budget: _Budget) -> None:
    try:
        with tarfile.open(blob, "r:") as archive:  # uncompressed only: what it holds is no larger than what was sent
            for member in archive:
                _unpack_member(archive, member, target, budget)
    except (tarfile.TarError, EOFError) as error:
        raise InvalidField(f"an input tree is not a tar archive: {error}", field=_FIELD) from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, budget: _Budget) -> None:
    name = member.name.removeprefix("./").rstrip("/")
    if member.isdir() and name in {"", "."}:
        return
    check_relative(name, field=_FIELD)
    budget.take(member.size)
    if member.isdir():
        _make_directory(target / name)
    elif member.isreg() and not member.issparse():
        _make_directory((target / name).parent)
        reader = archive.extractfile(member)
        if reader is not None:
            _write(target / name, reader)
    else:
        raise InvalidField(f"{name[:200]!r} in an input tree is neither a file nor a directory", field=_FIELD)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidField(f"inputs collide at {path.name!r}: a file and a directory", field=_FIELD) from error
    path.chmod(0o755)


def _write(path: Path, reader: IO[bytes]) -> None:
    try:
        with path.open("xb") as writer:
            shutil.copyfileobj(reader, writer, MB)
    except FileExistsError as error:
        raise InvalidField(f"two inputs are both called {path.name!r}", field=_FIELD) from error
    path.chmod(0o444)
