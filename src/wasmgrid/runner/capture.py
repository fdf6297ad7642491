"""A guest's stdout or stderr: a named pipe that the guest writes to as to a file, read under an exact cap.

A pipe costs a quarter of what a fresh file does, needs no cap on file sizes (which would hold for the guest's scratch
too), and lets a guest whose excess is dropped go on undisturbed. Output of a short attempt never meets a disk; that of
a longer one is spilled to a file in box/io, which the agent tails.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from wasmgrid.core.job import INLINE_BYTES
from wasmgrid.runner.frames import IO, SPILL, Stream

TAIL_BYTES = 4096
NOTHING = Stream(b"", 0, False, None)
_PIPE_BYTES = 1 << 20
_FIRST_BYTES = 1 << 16  # a buffer that the allocator keeps at hand, unlike the one above


class Capture:
    """One stream of one task after the other. Not thread-safe: its owner holds a lock around it."""

    def __init__(self, path: str) -> None:
        """`path`: `frames.STDOUT` or `STDERR`, a named pipe that exists already."""
        self._name = path.rpartition("/")[2]
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        # A writer that never writes: without one an idle pipe counts as hung up, and every poll would return at once.
        self._keeper = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # past the user's share of pipe memory; a smaller one will do
                fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        # Opened before there is a guest: one that uses up all descriptors must not keep its output from being kept.
        self._spilling = self.is_clean = False
        self._open_spill()
        self.begin(0)

    def begin(self, cap: int) -> None:
        """Start over for the next task: keep at most `cap` bytes of what comes."""
        self._cap = cap
        if self.is_clean:
            return
        self.is_clean = True
        self._head = bytearray()
        self._tail = b""
        if self._spilling:
            os.ftruncate(self._spill, 0)
            os.lseek(self._spill, 0, os.SEEK_SET)
        self._spilling = False
        self.size = 0
        self.exceeded = False
        self.failure: str | None = None

    def pump(self) -> None:
        """Take in all that the pipe holds now."""
        want = _FIRST_BYTES
        while True:
            try:
                data = os.read(self.descriptor, want)
            except BlockingIOError:
                return
            self._take(data)
            if len(data) < want:
                return  # emptied, or nearly: what came meanwhile is for the next call
            want = _PIPE_BYTES

    def spill(self) -> None:
        """From now on keep a file up to date, so that others can follow."""
        if not self._spilling:
            self._spilling, self.is_clean = True, False
            self._write(self._head)

    def finish(self, label: str) -> Stream:
        """What was taken in; a file, with `label` before its name, only where it is more than fits in a frame."""
        if self.is_clean:
            return NOTHING
        name = None
        if self._spilling and self.size > INLINE_BYTES:
            name = f"{label}.{self._name}"
            os.close(self._spill)
            os.rename(f"{IO}/{self._name}{SPILL}", f"{IO}/{name}")
            self._open_spill()
        return Stream(bytes(self._head), self.size, self.exceeded, name, self._tail)

    def _open_spill(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        self._spill = os.open(f"{IO}/{self._name}{SPILL}", flags, 0o640)
        self._spilling = False

    def _take(self, data: bytes) -> None:
        self.is_clean = False
        kept = data[: self._cap - self.size] if self.size + len(data) > self._cap else data
        if len(kept) < len(data):
            self.exceeded = True
            self._tail = (self._tail + data[len(kept) :][-TAIL_BYTES:])[-TAIL_BYTES:]
        if not kept:
            return
        if self.size + len(kept) > INLINE_BYTES:
            self.spill()
        self._head += kept[: INLINE_BYTES - len(self._head)]
        self.size += self._write(kept) if self._spilling else len(kept)

    def _write(self, data: bytes | bytearray) -> int:
        """How many bytes were written; fewer than given where the disk is full, and then no more are ever taken."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._spill, left) :]
        except OSError as error:
            self.failure = error.strerror or str(error)
            self.exceeded = True
            self._cap = self.size + len(data) - len(left)
        return len(data) - len(left)
