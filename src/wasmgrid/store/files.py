"""What it takes for a file to be on the disk, and what it means where that fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wasmgrid.core.errors import Unavailable

RESERVE_BYTES = 4 << 20


def sync_directory(directory: Path) -> None:
    """A file that was made or renamed is there after a crash once its directory is on the disk as well."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Faults of the disk, told as what they mean for whoever asked."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        cause, hint = ("the disk is full", "free some space: wasmgrid prune") if full else (error.strerror, None)
        raise Unavailable(f"the store cannot be used now: {cause}", hint=hint) from error


class Reserve:
    """Disk space that only `prune` may use: where the disk is full, deleting rows needs some of it first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self) -> None:
        """Take it, where there is as much."""
        with suppress(OSError):
            if self._path.exists():
                return
            try:
                self._path.write_bytes(bytes(RESERVE_BYTES))
            except OSError:
                self.release()

    def release(self) -> None:
        """Give it to whoever writes next."""
        with suppress(OSError):
            self._path.unlink()
