"""When a worker has to go, and how long what it holds may still take."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import structlog

EXIT_MISMATCH = 76  # EX_PROTOCOL of sysexits.h: to be started again only after an upgrade
EXIT_FAILED = 125  # what could not be; started again, it may find a free id
LAST_WORDS_S = 2.0  # for giving back what is left and for ending every child

log = structlog.get_logger()


class Departure:
    """`asked` is set once this worker has to take nothing more, `over` once it waits for nothing any more.

    A signal gives what runs `drain_s`, a second one ends it at once; a person who drains it through its grid gives it
    all the time that it needs; `until_s` is when its process must have ended.
    """

    def __init__(
        self, *, drain_s: float, until_s: float | None = None, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.asked = asyncio.Event()
        self.over = asyncio.Event()
        self.exit_code = 0
        self.why = ""  # it has to go, for a person
        self._tell = tell
        self.ends_at: float | None = None  # when (monotonic) what is held must have come to its end
        self._drain_s = drain_s
        self._signalled = False
        self._timers: list[asyncio.TimerHandle] = []
        if until_s is not None:
            self._end_in(until_s)

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT are a wish to leave."""
        for wanted in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(wanted, self.signalled)

    def signalled(self) -> None:
        """The first signal: finish within `drain_s`. Any other: now."""
        if self._signalled:
            log.info("told to stop again")
            self._tell("told to stop again: what runs is given back now")
            self.over.set()
        self._signalled = True
        self.why = self.why or "it was told to stop"
        self.asked.set()
        self._later(self._drain_s, self.over.set)

    def drained(self) -> None:
        """A person asked, through the grid: finish what is held, however long that takes."""
        log.info("drained")
        self.why = self.why or "it is drained"
        self.asked.set()

    def mismatched(self, text: str) -> None:
        """The grid speaks another version of the protocol: there is nothing to wait for."""
        if self.exit_code == 0:
            log.error(
                "this worker and its grid do not understand each other, and it ends",
                reason=text,
                what_to_do="install the wasmgrid version of its servers here, then start it again",
            )
        self.exit_code = EXIT_MISMATCH
        self.asked.set()
        self.over.set()

    def displaced(self, place: str) -> None:
        """Another worker had this id before: one of the two has to go, or each would run the other's tasks."""
        log.error(
            "another worker has the same id, and this one ends",
            it_is_at=place,
            what_to_do="give each machine a credential of its own, or each worker an id: --id NAME:2",
        )
        self.exit_code = EXIT_FAILED
        self.asked.set()
        self.over.set()

    def close(self) -> None:
        """No more timers."""
        for timer in self._timers:
            timer.cancel()

    def _end_in(self, until_s: float) -> None:
        """Half of a short life is for work, the rest for the end."""
        last_s = max(until_s - LAST_WORDS_S, until_s / 2)
        self.ends_at = time.monotonic() + last_s
        self._later(max(last_s - self._drain_s, last_s / 2), self._time_to_go)
        self._later(last_s, self.over.set)

    def _time_to_go(self) -> None:
        log.info("its time comes to its end")
        self.why = self.why or "its time (--until) comes to its end"
        self.asked.set()

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, act))
