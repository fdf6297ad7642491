"""The history of a worker: each life, each start of an attempt, each end. Whoever must account for every run reads it.

<worker's directory>/starts.log, one JSON object a line, and starts.log.1, the one before. The worker only writes them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from wasmgrid.core.wire import Held

NAME = "starts.log"
ROTATE_BYTES = 64 << 20  # some 400,000 starts; as many more are in the file before


class Life(msgspec.Struct, tag="life", frozen=True):
    """The worker's process began; what an earlier life began and did not end has ended by now. Seconds since 1970."""

    at: float
    pid: int
    incarnation: str


class Began(msgspec.Struct, tag="began", frozen=True):
    """An attempt began: of a run (job `id`, task `index`) or of a build, with these GPUs its own until its end.

    An attempt that was taken back before it could begin has no entry.
    """

    at: float
    attempt: int
    kind: str
    id: int
    index: int
    gpus: list[int] = []


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """Nothing of the attempt runs any more, whatever became of it."""

    at: float
    attempt: int


Entry = Life | Began | Ended

_decoder = msgspec.json.Decoder(Entry)
_encoder = msgspec.json.Encoder()

log = structlog.get_logger()


class Starts:
    """Writes the history; an entry is in the file when the call returns, though not on disk."""

    def __init__(self, directory: Path, incarnation: str, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._path = directory / NAME
        self._rotate_bytes = rotate_bytes
        self._failed = False
        self._begun: set[int] = set()
        self._open()
        if self._size:
            os.write(self._descriptor, b"\n")  # the last life may have been killed in the middle of a line
        self._write(Life(time.time(), os.getpid(), incarnation))

    def began(self, held: Held) -> None:
        """An attempt begins."""
        self._begun.add(held.attempt)
        self._write(Began(time.time(), held.attempt, held.kind, held.id, held.index, held.gpus))

    def ended(self, attempt: int) -> None:
        """An attempt is over, if it ever began."""
        if attempt in self._begun:
            self._begun.remove(attempt)
            self._write(Ended(time.time(), attempt))

    def close(self) -> None:
        """No more entries."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _write(self, entry: Entry) -> None:
        try:
            if self._size >= self._rotate_bytes:
                os.close(self._descriptor)
                self._path.replace(self._path.with_name(f"{NAME}.1"))
                self._open()
            self._size += os.write(self._descriptor, _encoder.encode(entry) + b"\n")
        except OSError as error:  # a full disk: work goes on without a history
            if not self._failed:
                log.warning("starts are not written down", error=str(error))
            self._failed = True


def read(directory: Path) -> Iterator[Entry]:
    """Every entry of a worker's directory, oldest first; a line that a kill cut off is none."""
    for path in (directory / f"{NAME}.1", directory / NAME):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(msgspec.DecodeError):
                    yield _decoder.decode(line)
