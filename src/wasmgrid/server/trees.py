"""Whether a tar archive may become a guest's directory: looked at, never unpacked here."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import BinaryIO

from wasmgrid.core.errors import InvalidRequest, TooLarge
from wasmgrid.core.limits import MB, Ceiling
from wasmgrid.core.paths import check_relative
from wasmgrid.core.units import format_bytes

MAX_MEMBERS = 100_000
MAX_HEADER_BYTES = 1 * MB


def check_tree(path: Path, ceiling: Ceiling) -> None:
    """Raise unless every member is a plain file or a directory with a plain relative path, few and small enough.

    `InvalidPath` for a path, `InvalidRequest` for a link, a device or a damaged archive (400), `TooLarge` for too much.
    """
    total = 0
    try:
        with path.open("rb") as file, tarfile.open(fileobj=_Headers(file), mode="r:") as archive:
            for count, member in enumerate(archive, 1):
                if count > MAX_MEMBERS:
                    raise TooLarge(f"the archive has more than {MAX_MEMBERS} members")
                _check_member(member)
                total += member.size
                if total > ceiling.input_bytes:
                    raise TooLarge(f"the archive unpacks to more than {format_bytes(ceiling.input_bytes)}")
                archive.members = []  # type: ignore[attr-defined]  # it keeps every member otherwise
    except (tarfile.TarError, UnicodeError, ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"the input is not a tar archive: {error}"[:300], hint="send an uncompressed tar, or leave tree out"
        ) from error


def _check_member(member: tarfile.TarInfo) -> None:
    if member.name.rstrip("/") not in {"", "."}:
        check_relative(member.name.rstrip("/").removeprefix("./"), field="tree")
    if not (member.isreg() or member.isdir()) or member.issparse():
        kind = "a link" if member.issym() or member.islnk() else "neither a plain file nor a directory"
        raise InvalidRequest(
            f"{member.name[:200]!r} in the archive is {kind}", hint="send the file that it points to", field="tree"
        )


class _Headers(io.RawIOBase):
    """The archive as `tarfile` reads it while it lists: headers only, so one that is huge is an attack on memory."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise InvalidRequest("the archive has a header of more than 1 MiB", field="tree")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
