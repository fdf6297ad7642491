"""Calls of a function that an interpreter serves: its program runs in a thread beside, stopped between two calls.

An interpreter is a program: it begins, and ends. So a script of the build's begins in it, loads the user's file once,
and then asks for one call after the other (`runner.turns`): it hands over an answer, and goes on when the next call is
in the file `/wasmgrid/call` (16 digits, the size, then the JSON). Nowhere else the thread waits, so whoever calls may
look at the guest's memory meanwhile, and may end it there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable

from wasmgrid.core.job import INLINE_BYTES
from wasmgrid.runner import native
from wasmgrid.runner.answers import TooLarge
from wasmgrid.runner.frames import CALLS
from wasmgrid.runner.sandbox import Sandbox
from wasmgrid.runner.traps import GuestExit
from wasmgrid.runner.turns import turns
from wasmgrid.runner.watch import cpu_clock

_FILE = f"{CALLS}/call"
_STACK_BYTES = 32 << 20


class Served:
    """A function behind an interpreter in an open sandbox; `close` ends it before the sandbox is closed."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._descriptor = os.open(_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._answer: bytes | None = None
        self._size = 0
        self._error: Exception | None = None
        self._ends = self._ended = False
        self._cpu_s = 0.0
        self._clock: Callable[[], float] | None = None
        self._called, self._answered = threading.Lock(), threading.Lock()
        self._called.acquire()
        self._answered.acquire()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the guest; what it says first is that it is ready for calls. Raises what it ended with instead."""
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._thread = threading.Thread(target=self._run, name="guest", daemon=True)
            self._thread.start()
        finally:
            threading.stack_size(before)
        self._wait()

    def call(self, given: bytes) -> bytes:
        """The answer to one call. Raises what the guest ended with instead, and `TooLarge`."""
        os.pwrite(self._descriptor, b"%016d" % len(given) + given, 0)
        os.ftruncate(self._descriptor, 16 + len(given))
        self._called.release()
        return self._wait()

    def cpu(self) -> float:
        """Seconds of cpu time that the guest has taken until now."""
        clock = self._clock
        if clock is not None and not self._ended:
            with contextlib.suppress(OSError):  # it has ended since
                return clock()
        return self._cpu_s

    def close(self) -> None:
        """End the guest, which waits for a call or has ended."""
        self._ends = True
        if self._thread is not None:
            self._called.release()
            self._thread.join()
        os.close(self._descriptor)

    def _wait(self) -> bytes:
        self._answered.acquire()
        answer, self._answer = self._answer, None
        if answer is None:
            raise self._error or GuestExit(0)
        if self._size > INLINE_BYTES + 1:
            raise TooLarge(f"the function returned {self._size - 1} bytes; a result holds {INLINE_BYTES}")
        return answer

    # ---- in the guest's thread

    def _run(self) -> None:
        clock = self._clock = cpu_clock()
        turns[threading.get_ident()] = self._turn
        try:
            self._sandbox.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the call was made
            self._error = error.with_traceback(None)
        finally:
            del turns[threading.get_ident()]
            self._cpu_s = clock()
            self._ended = True
            self._answered.release()

    def _turn(self, path: int, size: int) -> None:
        """Take the answer (in the guest's memory at `path`), and wait for the next call."""
        sandbox = self._sandbox
        if path + size > sandbox.memory_size():
            raise GuestExit(1)
        base = native.memory_data(sandbox.context, sandbox.memory_at)
        self._size = size
        self._answer = ctypes.string_at(base + path, min(size, INLINE_BYTES + 1))
        self._answered.release()
        self._called.acquire()
        if self._ends:
            raise GuestExit(0)
