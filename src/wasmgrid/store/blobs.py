"""Blobs: bytes by their sha256, durable when `put` returns. Files where one server keeps them, rows where several do.

A blob is written before the row that names it, so a row never names what is not there. One that turns out not to match
its digest is dropped, which heals it: whoever needs it is told that it is not there and sends or builds it again.
Whoever is told that a blob is there may count on it for the grace period of `prune`: `size` and `put` renew it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import DigestMismatch, InvalidField, TooLarge
from wasmgrid.core.units import format_bytes

RENEW_S = 60.0  # a blob's age is exact to this


class Blobs(Protocol):
    """The blobs of one store. Digests that are none raise `InvalidField`, whatever is asked of them."""

    def open(self) -> None:
        """Make what it needs; drop what was on its way in when the last process ended. Blocks."""

    async def close(self) -> None:
        """Wait for what is being written or read."""

    async def put(
        self, data: bytes | AsyncIterator[bytes], *, expected: str | None = None, max_bytes: int | None = None
    ) -> tuple[str, int]:
        """Keep `data`; returns its digest and size once it is durable.

        Raises `TooLarge` as soon as there are more than `max_bytes`, `DigestMismatch` where it is not what `expected`
        names, `Unavailable` where it cannot be kept. Then nothing is kept.
        """

    async def read(self, sha256: str, offset: int = 0, length: int | None = None) -> bytes:
        """Up to `length` bytes (None: all) from `offset`; shorter at its end. Raises `NotFound`."""

    async def size(self, sha256: str) -> int | None:
        """Bytes of this blob, or None where there is no such blob (any more). Renews it."""

    def as_file(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """A file with its bytes, to be read within the block. Raises `NotFound`."""

    def sizes_now(self, connection: sa.Connection, digests: Collection[str]) -> int:
        """Bytes of these blobs together, those that there are, within a transaction that writes."""

    def scan(self, *, older_than_s: float) -> Iterable[tuple[str, int]]:
        """Digest and size of every blob that nobody was told of for so long. Blocks."""

    def remove(self, connection: sa.Connection, digests: Collection[str], *, older_than_s: float) -> list[int]:
        """Remove those of these blobs of which nobody was told for so long; returns their sizes. Blocks.

        Within the transaction that saw that no row names them.
        """


def check_digest(sha256: str) -> None:
    """Raise `InvalidField` unless it is one."""
    if not is_sha256(sha256):
        raise InvalidField(f"{sha256[:80]!r} is not a sha256 in lower-case hex digits", field="sha256")


def check_expected(sha256: str, expected: str | None) -> None:
    """Raise `DigestMismatch` unless the bytes are those that were `expected`."""
    if expected is not None and sha256 != expected:
        raise DigestMismatch(f"the bytes have the digest {sha256}, not {expected}", hint="send them again")


def too_large(max_bytes: int) -> TooLarge:
    """The error that says so."""
    return TooLarge(f"more than {format_bytes(max_bytes)} ({max_bytes} bytes) came in")
