"""Files and directories as a request carries them: a project as its files, an input as one file or one tar archive."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from wasmgrid.core.errors import InvalidField, InvalidPath, TooLarge
from wasmgrid.core.job import Base64, Input
from wasmgrid.core.limits import MB, Ceiling
from wasmgrid.core.paths import check_guest
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk import blobs
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.files import Entry, entries, source_entries

_IN_MEMORY = 8 * MB  # an archive up to this never touches the disk
_FIELD = "source.files"


def content(data: bytes) -> str | Base64:
    """Bytes as JSON carries them: text where they are UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Base64(data)


def read_source(path: Path, ceiling: Ceiling) -> dict[str, bytes]:
    """A source file, or a directory of them, as path -> bytes. Raises `InvalidPath`, `InvalidField` or `TooLarge`."""
    if not path.is_dir():
        return {path.name: _read(path, ceiling.source_bytes)}
    files: dict[str, bytes] = {}
    left = ceiling.source_bytes
    for entry in source_entries(path, field=_FIELD):
        if len(files) == ceiling.source_files:
            hint = "name what is not source in .gitignore"
            raise TooLarge(f"{path} has more than {ceiling.source_files} files", hint=hint, field=_FIELD)
        files[entry.name] = _read(entry.path, left, os.O_NOFOLLOW)
        left -= len(files[entry.name])
    if not files:
        raise InvalidField(f"{path} has no files in it", hint="what .gitignore names is not sent", field=_FIELD)
    return files


def pack_input(path: Path, guest: str | None, *, writable: bool, ceiling: Ceiling) -> tuple[Input, Blob]:
    """A file or directory as an input that the guest sees at `guest` (default `/in/NAME`), and the bytes to send."""
    if not path.exists():
        raise InvalidPath(f"there is no {path}", field="inputs")
    at = check_guest(guest or f"/in/{path.resolve().name}", field="inputs.path")
    blob = _pack_tree(path, ceiling.input_bytes) if path.is_dir() else _file(path, ceiling.input_bytes)
    return Input(path=at, sha256=blob.sha256, tree=path.is_dir(), writable=writable), blob


def bytes_input(data: bytes, guest: str, *, writable: bool, ceiling: Ceiling) -> tuple[Input, Blob]:
    """Bytes as an input that the guest sees as a file at `guest`."""
    at = check_guest(guest, field="inputs.path")
    if len(data) > ceiling.input_bytes:
        raise TooLarge(f"the input at {guest} is over {format_bytes(ceiling.input_bytes)}", field="inputs")
    blob = blobs.of_bytes(data)
    return Input(path=at, sha256=blob.sha256, writable=writable), blob


def _file(path: Path, most: int) -> Blob:
    if not path.is_file():
        raise InvalidPath(f"{path} is neither a file nor a directory", field="inputs")
    if path.stat().st_size > most:
        raise TooLarge(f"{path} is over {format_bytes(most)}", field="inputs")
    return blobs.of_file(path)


def _pack_tree(root: Path, most: int) -> Blob:
    """A tar archive of a directory; the same names and contents give the same bytes."""
    packed = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- it lives as long as the blob
    try:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry in entries(root, field="inputs"):
                _add(archive, entry)
                if packed.tell() > most:
                    raise TooLarge(f"{root} is over {format_bytes(most)}", field="inputs")
    except BaseException:
        packed.close()
        raise
    return blobs.of_temporary(packed)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)  # no owner, no time: those of this machine are nobody's business
    info.mode = 0o755 if entry.executable or entry.is_directory else 0o644
    if entry.is_directory:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        return
    with _open(entry.path, os.O_NOFOLLOW) as file:
        info.size = os.fstat(file.fileno()).st_size
        archive.addfile(info, file)


def _read(path: Path, most: int, flags: int = 0) -> bytes:
    try:
        with _open(path, flags) as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise InvalidPath(f"there is no {path}", field=_FIELD) from None
    except OSError as error:
        raise InvalidPath(f"{path} cannot be read: {error.strerror}", field=_FIELD) from None
    if len(data) > most:
        hint = "name what is not source in .gitignore"
        raise TooLarge(f"the source is over {format_bytes(Ceiling().source_bytes)}", hint=hint, field=_FIELD)
    return data


def _open(path: Path, flags: int) -> IO[bytes]:
    """A file to read; with O_NOFOLLOW, never one that became a link since the directory was listed."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags), "rb")
