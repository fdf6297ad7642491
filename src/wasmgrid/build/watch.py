"""Watches one compiler run: reads what it says, adds up what its processes use, and says which cap they went over."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from wasmgrid.build import processes
from wasmgrid.build.box import Box

_FIRST_S, _LONGEST_S = 0.02, 0.1  # between two looks: short at first, for a burst
_DISK_EVERY_S = 0.5
_CHUNK_BYTES = 64 * 1024
_DISCARD_PAUSE_S = 0.001  # what is discarded is read at 64 MB/s at most: a chatty compiler slows down, not the agent


class Watch:
    """Of the process tree below `pid`. `cpu_s` and `peak_memory_bytes` are what was seen so far."""

    def __init__(self, pid: int, box: Box, *, cpu_s: float, wall_s: float) -> None:
        self._pid = pid
        self._box = box
        self._cpu_limit_s = cpu_s
        self._deadline = time.monotonic() + wall_s
        self.cpu_s = 0.0
        self.peak_memory_bytes = 0

    async def until_exceeded(self) -> str:
        """Wait until a cap is exceeded; its name."""
        pause = _FIRST_S
        next_disk = time.monotonic() + _DISK_EVERY_S
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_S)
            exceeded = self._look()
            if exceeded is None and time.monotonic() >= next_disk:
                limits = self._box.limits
                over = await asyncio.to_thread(_over, self._box.work, limits.disk_mb << 20, limits.files)
                exceeded = "disk" if over else None
                next_disk = time.monotonic() + _DISK_EVERY_S
            if exceeded is not None:
                return exceeded

    def _look(self) -> str | None:
        used = processes.usage(self._pid)
        self.cpu_s = max(self.cpu_s, used.cpu_s)
        self.peak_memory_bytes = max(self.peak_memory_bytes, used.memory_bytes)
        if used.cpu_s > self._cpu_limit_s:
            return "cpu time"
        if used.memory_bytes > self._box.limits.memory_mb << 20:
            return "memory"
        if time.monotonic() > self._deadline:
            return "wall time"
        return None


class Said:
    """The head of what a compiler prints; the rest is read and forgotten, so that it never waits for a reader."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept = bytearray()
        self.truncated = False

    @property
    def head(self) -> bytes:
        """At most the first `most_bytes`."""
        return bytes(self._kept)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Until its end."""
        while chunk := await stream.read(_CHUNK_BYTES):
            room = self._most - len(self._kept)
            self._kept += chunk[:room]
            if len(chunk) > room:
                self.truncated = True
                await asyncio.sleep(_DISCARD_PAUSE_S)


def _over(directory: Path, most_bytes: int, most_files: int) -> bool:
    """Whether a tree is over a size or a number of files; stops looking as soon as it is."""
    total = files = 0
    pending = [str(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    files += 1
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if total > most_bytes or files > most_files:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:  # it went away meanwhile
            continue
    return False
