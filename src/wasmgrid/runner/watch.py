"""The thread beside the guest: it stops a guest at its limits and keeps long outputs flowing.

An attempt that ends within `QUIET_S` never meets it. A timer's signal wakes it for the others; from then on it empties
the output pipes as they fill and looks at the clocks when they could be due. It stops a guest by raising the engine's
epoch, which ends code that computes; one that is blocked in a host call can only be killed, by the agent.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from enum import StrEnum
from functools import partial

import msgspec
import wasmtime

from wasmgrid.core.limits import MB, Limits
from wasmgrid.runner.capture import Capture
from wasmgrid.runner.cell import Cell, Running
from wasmgrid.runner.frames import Splitter, Stop

QUIET_S = 0.004
_SPILL_S = 0.05  # what lives longer has its output in files, for followers
_SCRATCH_LOOK_S = 0.2
_LONGEST_WAIT_S = 60.0


class Reason(StrEnum):
    """Why a guest was stopped."""

    WALL = "wall"
    CPU = "cpu"
    OUTPUT = "output"
    DISK = "disk"
    ASKED = "asked"


class Watch:
    """What the thread knows of the attempt that runs now. Make it on the thread that will run the guest."""

    def __init__(self, key: tuple[int, int], limits: Limits, engine: wasmtime.Engine, cell: Cell) -> None:
        self.key = key
        self.measure_memory: Callable[[], int] | None = None  # reads one word, also while the guest runs
        self._cell = cell
        self._started = time.monotonic()
        self.reason: Reason | None = None
        self.watched = False
        self._limits = limits
        self._engine = engine
        self._spill_due = time.monotonic() + _SPILL_S
        self._wall_due = time.monotonic() + limits.wall_s
        self._cpu = _cpu_clock()
        self._cpu_before = self._cpu()

    def stop(self, reason: Reason) -> None:
        """End the guest, for the first reason given."""
        if self.reason is None:
            self.reason = reason
            peak = 0 if self.measure_memory is None else self.measure_memory()
            self._cell.write(Running(*self.key, self._started, self._cpu() - self._cpu_before, peak))
            self._engine.increment_epoch()

    def look(self) -> float:
        """Stop the guest where a clock is due; answers how long nothing can become due, in seconds."""
        wall_left = self._wall_due - time.monotonic()
        cpu_s = self._limits.cpu_s
        cpu_left = _LONGEST_WAIT_S if cpu_s is None else self._cpu_before + cpu_s - self._cpu()
        if wall_left <= 0:
            self.stop(Reason.WALL)
        if cpu_left <= 0:
            self.stop(Reason.CPU)
        # One thread cannot use cpu time faster than time passes, so looking again after cpu_left is never late.
        return min(wall_left, max(cpu_left, 0.001), _LONGEST_WAIT_S)

    def spill_in(self) -> float:
        """Seconds until the outputs should be in files; 0 where that time has come."""
        return max(0.0, self._spill_due - time.monotonic())

    @property
    def truncates(self) -> bool:
        return self._limits.truncate_output

    @property
    def disk_bytes(self) -> int:
        return self._limits.disk_mb * MB


class Watchdog:
    """Owns the thread. `outputs` are read under its lock, by the thread while a guest runs and by the caller after."""

    def __init__(self, outputs: list[Capture], control: int, *, weigh_scratch: Callable[[], int] | None) -> None:
        """`control`: where `Stop` frames come. `weigh_scratch`: answers its bytes; None where it is sized."""
        self._outputs = outputs
        self._control = control
        self._weigh_scratch = weigh_scratch
        self._next_weighing = 0.0
        self._splitter = Splitter()
        self._stops = msgspec.msgpack.Decoder(Stop)
        self._lock = threading.Lock()
        self._current: Watch | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._idle, self._busy = select.poll(), select.poll()
        for poll in (self._idle, self._busy):
            poll.register(self._wake_read, select.POLLIN)
            poll.register(control, select.POLLIN)
        for output in outputs:
            self._busy.register(output.descriptor, select.POLLIN)

    def start(self) -> None:
        """Start the thread; call it from the main thread, which then runs the guests."""
        signal.signal(signal.SIGALRM, lambda _number, _frame: None)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def begin(self, watch: Watch) -> None:
        """Watch over the guest that is about to start."""
        with self._lock:
            self._current = watch
        signal.setitimer(signal.ITIMER_REAL, QUIET_S)

    def end(self) -> None:
        """The guest is done: from here on the outputs are the caller's."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        with self._lock:
            watch, self._current = self._current, None
        if watch is not None and watch.watched:
            os.write(self._wake_write, b"\0")  # back to idleness, before the next guest writes

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException:  # noqa: BLE001 - whatever it is
            traceback.print_exc()
            os._exit(70)  # a guest without limits is worse than none

    def _watch(self) -> None:
        wait_s: float | None = None
        while True:
            events = (self._idle if wait_s is None else self._busy).poll(
                None if wait_s is None else wait_s * 1000 + 0.5
            )
            ready = {descriptor for descriptor, _ in events}
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            stops = self._read_stops() if self._control in ready else []
            with self._lock:
                watch = self._current
                wait_s = None if watch is None else self._look(watch, stops)

    def _look(self, watch: Watch, stops: list[Stop]) -> float:
        if any((stop.attempt, stop.index) == watch.key for stop in stops):
            watch.stop(Reason.ASKED)
        watch.watched = True
        spill_in = watch.spill_in()
        for output in self._outputs:
            if spill_in == 0:
                output.spill()
            output.pump()
        if not watch.truncates and any(output.exceeded for output in self._outputs):
            watch.stop(Reason.OUTPUT)
        wait_s = watch.look()
        if watch.reason is not None:
            return _LONGEST_WAIT_S  # stopped, or blocked until the agent kills; outputs still wake us
        if spill_in > 0:
            wait_s = min(wait_s, spill_in)
        return wait_s if self._weigh_scratch is None else min(wait_s, self._weigh(watch, self._weigh_scratch))

    def _weigh(self, watch: Watch, weigh: Callable[[], int]) -> float:
        now = time.monotonic()
        if now >= self._next_weighing:
            try:
                too_much = weigh() > watch.disk_bytes
            except OSError:
                too_much = True  # out of descriptors: a guest that cannot be weighed is not let off
            if too_much:
                watch.stop(Reason.DISK)
            self._next_weighing = time.monotonic() + _SCRATCH_LOOK_S
        return max(self._next_weighing - now, 0.01)

    def _read_stops(self) -> list[Stop]:
        data = os.read(self._control, 4096)
        if not data:
            os._exit(0)  # the agent is gone
        return [self._stops.decode(body) for body in self._splitter.feed(data)]


def _cpu_clock() -> Callable[[], float]:
    """Reads the cpu time of the thread that calls this, from any thread."""
    if hasattr(time, "pthread_getcpuclockid"):
        return partial(time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident()))
    return time.process_time  # macOS: of the whole process, whose other thread hardly runs
