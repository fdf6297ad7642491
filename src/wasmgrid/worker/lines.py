"""Texts with a line for each task of a job: fetched once, indexed once, cut for each chunk."""

from __future__ import annotations

import asyncio
import mmap
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wasmgrid.core.errors import InputNotFound, InvalidField, NotFound
from wasmgrid.worker.blobs import BlobCache

KEEP_INDEX_BYTES = 128 << 20  # 8 a line
_STEP = 16 << 20  # bytes looked through at once: numpy makes as much again of it


class LineFile:
    """A text of lines, the last one with or without its end, mapped: what is read of it is in the kernel's cache."""

    def __init__(self, path: Path) -> None:
        """Index `path`; reads all of it. Raises OSError."""
        with path.open("rb") as file:
            size = path.stat().st_size
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._starts = _starts(self._data)

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self._starts) - 1

    @property
    def index_bytes(self) -> int:
        """What it takes of memory, but for the mapping."""
        return self._starts.nbytes

    def cut(self, first: int, count: int) -> bytes:
        """The lines `first` .. `first + count - 1`, a line feed between them and none at the end.

        Raises `InvalidField` where the text does not go so far.
        """
        if first + count > len(self):
            raise InvalidField(f"task {first + count - 1} has no line: there are {len(self)}", field="lines")
        return bytes(self._data[int(self._starts[first]) : int(self._starts[first + count]) - 1])


class LineFiles:
    """The texts that chunks take their lines from, by digest; those that were not used for longest go first."""

    def __init__(self, blobs: BlobCache, *, max_bytes: int, keep_index_bytes: int = KEEP_INDEX_BYTES) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._keep_index_bytes = keep_index_bytes
        self._kept: OrderedDict[str, LineFile] = OrderedDict()
        self._lock = asyncio.Lock()

    def known(self, sha256: str) -> LineFile | None:
        """The text, where it is at hand."""
        found = self._kept.get(sha256)
        if found is not None:
            self._kept.move_to_end(sha256)
        return found

    async def get(self, sha256: str) -> LineFile:
        """The text, fetched and indexed where it is not known. Raises `InputNotFound`, and as `BlobCache.hold`."""
        async with self._lock:  # one at a time, also because indexing takes memory
            found = self.known(sha256)
            if found is None:
                found = await self._open(sha256)
                self._kept[sha256] = found
                self._drop_old()
            return found

    async def _open(self, sha256: str) -> LineFile:
        try:
            async with self._blobs.hold(sha256, max_bytes=self._max_bytes) as path:
                return await asyncio.to_thread(LineFile, path)  # its mapping stays when the file is evicted
        except NotFound as error:
            raise InputNotFound("the lines of the job are gone from the store") from error

    def _drop_old(self) -> None:
        while len(self._kept) > 1 and sum(one.index_bytes for one in self._kept.values()) > self._keep_index_bytes:
            self._kept.popitem(last=False)


def _starts(data: mmap.mmap | bytes) -> NDArray[np.int64]:
    """Where each line begins; the last entry is where the next one would."""
    octets = np.frombuffer(data, np.uint8)
    feeds = [at + np.flatnonzero(octets[at : at + _STEP] == ord("\n")) for at in range(0, len(octets), _STEP)]
    ended = not len(octets) or octets[-1] == ord("\n")
    return np.concatenate([[0], *[one + 1 for one in feeds], [] if ended else [len(octets) + 1]]).astype(np.int64)
