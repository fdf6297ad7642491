"""A watch over what runs elsewhere: a thread that interrupts whatever is over its time, and sleeps while there is none.

Checking a deadline here costs a query two dictionary operations; telling the database of each would cost a round trip.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import structlog

LOOK_EVERY_S = 0.05
AGAIN_EVERY_S = 1.0  # an interruption may come before what it was meant for has begun

_log = structlog.get_logger(__name__)


class Watched:
    """One thing that runs: whether it was interrupted; nothing interrupts it after `end`."""

    def __init__(self, interrupt: Callable[[], None], over: Callable[[], bool]) -> None:
        self.interrupted = False
        self._interrupt = interrupt
        self._over = over
        self._lock = threading.Lock()
        self._ended = False
        self._rest_looks = 0

    def end(self) -> None:
        """It does not run any more."""
        with self._lock:
            self._ended = True

    def look(self) -> None:
        """Interrupt it where it is over its time."""
        self._rest_looks -= 1
        if self._rest_looks > 0 or not self._over():
            return
        with self._lock:
            if self._ended:
                return
            self.interrupted = True
            self._rest_looks = round(AGAIN_EVERY_S / LOOK_EVERY_S)
            try:
                self._interrupt()
            except Exception:  # noqa: BLE001 - whatever it was: what runs has limits of its own, and others are watched too
                _log.warning("store.interrupt_failed", exc_info=True)


class Interrupter:
    """Watches from one daemon thread, begun at the first need."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._some = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, interrupt: Callable[[], None], over: Callable[[], bool]) -> Iterator[Watched]:
        """Call `interrupt` (in another thread) when `over()` is true while the block runs."""
        watched = Watched(interrupt, over)
        with self._some:
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="wasmgrid-store-interrupter", daemon=True)
                self._thread.start()
            self._some.notify()
        try:
            yield watched
        finally:
            with self._some:
                self._watched.discard(watched)

    def _work(self) -> None:
        while True:
            with self._some:
                self._some.wait_for(lambda: self._watched)
                now = list(self._watched)
            for watched in now:
                watched.look()
            time.sleep(LOOK_EVERY_S)
