"""Bytes that travel by digest: held in memory or in a temporary file, uploaded only where the server lacks them."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wasmgrid.core.digest import sha256_hex

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Blob:
    """`size` bytes whose digest is `sha256`; `chunks` gives them from their beginning, as often as it is called."""

    sha256: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


def of_bytes(data: bytes) -> Blob:
    """A blob out of memory."""
    view = memoryview(data)
    return Blob(
        sha256_hex(data),
        len(data),
        lambda: (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES)),
    )


def of_file(path: Path) -> Blob:
    """A blob out of a file that stays as it is until it was sent; the server checks the digest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        size = file.tell()
    return Blob(digest.hexdigest(), size, lambda: _reopened(path))


def of_temporary(file: IO[bytes]) -> Blob:
    """A blob out of an open temporary file, which is closed when the blob is gone."""
    digest = hashlib.sha256()
    size = 0
    for chunk in _rewound(file):
        digest.update(chunk)
        size += len(chunk)
    return kept(file, digest.hexdigest(), size)


def kept(file: IO[bytes], sha256: str, size: int) -> Blob:
    """A blob out of an open temporary file whose digest and size are known; it is closed when the blob is gone."""
    blob = Blob(sha256, size, lambda: _rewound(file))
    weakref.finalize(blob, file.close)
    return blob


def _reopened(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from _rewound(file)


def _rewound(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
