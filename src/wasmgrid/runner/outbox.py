"""Results on their way to the agent: many in a frame, none kept back for longer than their chunk is meant to last.

Nor does one wait behind a task that takes its time: the thread beside the guest sends what there is 10 ms after such a
task began.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time

from wasmgrid.core.work import CHUNK_S
from wasmgrid.runner.frames import Channel, End, Ended, Returns, encode
from wasmgrid.runner.meter import Meter

LONG_S = CHUNK_S  # a task of so long may have a frame of its own
_FULL_BYTES = 64 << 10
_MOST_UNSENT_BYTES = 4 << 20  # an agent that takes nothing is waited for from here on


class Outbox:
    """Filled by the thread that runs guests, emptied by it or, while a task takes long, by the one beside it."""

    def __init__(self, channel: Channel) -> None:
        self._descriptor = channel.descriptor
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self.meter: Meter | None = None  # of the calls whose values are added
        self.begin(0, CHUNK_S)

    def begin(self, attempt: int, hold_s: float) -> None:
        """From now on results are of this attempt, and one may wait `hold_s` for those after it.

        That is what the chunk is meant to last: each frame is a message, a commit and an answer, and one is enough.
        """
        self._attempt, self._hold_s = attempt, hold_s
        self._ends: list[End] = []
        self._returns: list[Returns] = []
        self._values: list[bytes] = []
        self._first = 0
        self._bytes = 0
        self._since: float | None = None

    def add(self, end: End) -> None:
        """The next task has ended. Waits where the agent takes nothing."""
        while len(self._unsent) > _MOST_UNSENT_BYTES:
            self._wait()
        with self._lock:
            self._close_range()
            self._ends.append(end)
            self._bytes += len(end.stdout.data) + len(end.stderr.data)
            if end.stats.wall_ms >= LONG_S * 1000:
                self._since = -math.inf  # such long ones can each have a frame
            elif self._since is None:
                self._since = time.monotonic()

    def add_value(self, index: int, value: bytes) -> None:
        """The next call has returned, silently."""
        with self._lock:
            if not self._values:
                self._first = index
                if self._since is None:
                    self._since = time.monotonic()
            self._values.append(value)
            self._bytes += len(value)

    def close_range(self) -> None:
        """What comes next is no call like those before."""
        with self._lock:
            self._close_range()

    def is_due(self) -> bool:
        """Whether there is something that should be sent."""
        since = self._since
        waited = since is not None and time.monotonic() - since >= self._hold_s
        return waited or self._bytes > _FULL_BYTES or bool(self._unsent)

    def flush(self) -> None:
        """Send what there is, as far as the agent takes it. Never blocks."""
        if self._since is not None or self._unsent:
            with self._lock:
                self._pack(over=False, idle=False)
                self._push()

    def finish(self, *, idle: bool) -> None:
        """Send all there is: no more tasks of this attempt come."""
        with self._lock:
            self._pack(over=True, idle=idle)
            self._push()
        while self._unsent:
            self._wait()

    def _pack(self, *, over: bool, idle: bool) -> None:
        if self._since is None and not over:
            return
        self._close_range()
        self._unsent += encode(Ended(self._attempt, self._ends, self._returns, over, idle))
        self.begin(self._attempt, self._hold_s)

    def _close_range(self) -> None:
        values = self._values
        if values and self.meter is not None:
            stats, now = self.meter.of_range(len(values)), time.time()
            took_s = (stats.wall_ms + stats.instantiate_ms) / 1000 * len(values)
            self._returns.append(Returns(self._first, len(values), b"\n".join(values), stats, now - took_s, now))
            self._values = []

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._descriptor, self._unsent)]
        except BlockingIOError:
            return

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(100)
        with self._lock:
            self._push()
