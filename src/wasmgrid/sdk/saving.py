"""Files of the grid onto this machine: replaced as a whole or not at all, below a directory and through no link."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wasmgrid.core.errors import DigestMismatch, InvalidPath
from wasmgrid.core.paths import check_relative


@contextmanager
def replacing(target: Path, sha256: str | None = None) -> Iterator[IO[bytes]]:
    """A file whose bytes are at `target` once the block has ended well; before, they are beside it.

    A link that stands at `target` is replaced, not followed. Raises `DigestMismatch` where other bytes came, and
    `InvalidPath` where they cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            written = Path(file.name)
            try:
                yield file.file
                _check(file, sha256, target)
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                written.replace(target)
            except BaseException:
                written.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InvalidPath(f"{target} cannot be written: {error.strerror}", field="output") from error


def below(directory: Path, path: str) -> Path:
    """Where an artifact goes: below `directory`, through no link, whatever a server calls it."""
    check_relative(path, field="artifacts")
    here = directory
    for part in path.split("/")[:-1]:
        here /= part
        if here.is_symlink():
            raise InvalidPath(f"{here} is a symbolic link", hint="download into another directory")
    return directory / path


def _check(file: IO[bytes], sha256: str | None, target: Path) -> None:
    if sha256 is None:
        return
    file.flush()
    with Path(file.name).open("rb") as again:
        found = hashlib.file_digest(again, "sha256").hexdigest()
    if found != sha256:
        raise DigestMismatch(f"{target.name} arrived with the digest {found}, not {sha256}", hint="try again")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
