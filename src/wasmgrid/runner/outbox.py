"""Results on their way to the agent: many in a frame, none kept back for longer than `WAIT_S` and a bit."""

from __future__ import annotations

import os
import select
import threading
import time

from wasmgrid.core.job import Stats
from wasmgrid.runner.frames import Channel, End, Ended, Returns, encode

WAIT_S = 0.005
_FULL_BYTES = 64 << 10
_MOST_UNSENT_BYTES = 4 << 20  # an agent that takes nothing is waited for from here on


class Outbox:
    """Filled by the thread that runs guests, emptied by it or, while a task takes long, by the one beside it."""

    def __init__(self, channel: Channel) -> None:
        self._descriptor = channel.descriptor
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self.begin(0)

    def begin(self, attempt: int) -> None:
        """From now on results are of this attempt."""
        self._attempt = attempt
        self._ends: list[End] = []
        self._returns: list[Returns] = []
        self._bytes = 0
        self._since: float | None = None

    def add(self, end: End) -> None:
        """The next task has ended. Waits where the agent takes nothing."""
        self._keep_small()
        with self._lock:
            self._ends.append(end)
            self._bytes += len(end.stdout.data) + len(end.stderr.data)
            if self._since is None:
                self._since = time.monotonic()

    def add_returns(self, first: int, values: list[bytes], stats: Stats, started_at: float, finished_at: float) -> None:
        """The next calls have returned, silently. Waits as `add` does."""
        self._keep_small()
        with self._lock:
            joined = b"\n".join(values)
            self._returns.append(Returns(first, len(values), joined, stats, started_at, finished_at))
            self._bytes += len(joined)
            if self._since is None:
                self._since = time.monotonic()

    def flush_if_due(self) -> None:
        """Send what has waited long enough, as far as the agent takes it. Never blocks."""
        since = self._since
        due = since is not None and (time.monotonic() - since >= WAIT_S or self._bytes > _FULL_BYTES)
        if due or self._unsent:
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
        self._unsent += encode(Ended(self._attempt, self._ends, self._returns, over, idle))
        self.begin(self._attempt)

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._descriptor, self._unsent)]
        except BlockingIOError:
            return

    def _keep_small(self) -> None:
        while len(self._unsent) > _MOST_UNSENT_BYTES:
            self._wait()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(100)
        with self._lock:
            self._push()
