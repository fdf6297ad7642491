"""The thread beside the guest: it stops a guest at its limits and keeps long outputs flowing.

A task that ends within `QUIET_S` never meets it: a timer's signal wakes it during a chunk, and from then on it looks at
whatever task has run that long. That one's output pipes it empties as they fill, and its clocks it looks at when they
could be due. It stops a guest by raising the engine's epoch, which ends code that computes; one that is blocked in a
host call can only be killed, by the agent. Results that wait while a long task runs are sent from here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from functools import partial

import msgspec
import wasmtime

from wasmgrid.core.limits import MB, Limits
from wasmgrid.runner.capture import Capture
from wasmgrid.runner.cell import Cell
from wasmgrid.runner.frames import Splitter, Stop

QUIET_S = 0.004
_HOLD_S = 0.01
_SPILL_S = 0.05  # what lives longer has its output in files, for followers
_SCRATCH_LOOK_S = 0.2
_LONGEST_WAIT_S = 60.0
_HALTED_KEPT = 64


class Reason(StrEnum):
    """Why a guest was stopped."""

    WALL = "wall"
    CPU = "cpu"
    OUTPUT = "output"
    DISK = "disk"
    ASKED = "asked"


class Watch:
    """What the thread knows of the chunk that runs now, and of its task. Make it on the thread that runs the guests."""

    def __init__(self, attempt: int, limits: Limits, engine: wasmtime.Engine, cell: Cell, lock: threading.Lock) -> None:
        """`lock` is the watchdog's."""
        self.attempt = attempt
        self.reason: Reason | None = None
        self.running = False
        self.watched = False
        self.started = 0.0
        self.cpu_before = time.thread_time()
        self.counts_cpu = True
        self.truncates = limits.truncate_output
        self.disk_bytes = limits.disk_mb * MB
        self._measure: Callable[[], int] | None = None
        self._wall_s, self._cpu_s = limits.wall_s, limits.cpu_s
        self._engine = engine
        self._cell = cell
        self._lock = lock
        self._index = 0
        self._own_cpu = cpu_clock()
        self.beside: Callable[[], float] | None = None  # cpu time of another thread that the guest runs in

    def cpu(self) -> float:
        """Seconds of cpu time taken until now by whatever runs guests."""
        return self._own_cpu() if self.beside is None else self._own_cpu() + self.beside()

    def begin(self, index: int, measure: Callable[[], int] | None = None) -> bool:
        """The guest of task `index` is about to start; whether the one before was stopped, though it had ended.

        `cpu_before` is set by then, where `counts_cpu`. `measure` reads the guest's memory, also while it runs.
        """
        started = time.monotonic()
        with self._lock:
            late = self.reason is not None
            self.reason = None
            self.watched = False
            self._index, self.started, self._measure, self.running = index, started, measure, True
        self._cell.write(self.attempt, index, started)
        return late

    def stop(self, reason: Reason) -> None:
        """End the guest, for the first reason given. Under the lock."""
        if self.reason is None and self.running:
            self.reason = reason
            peak = 0 if self._measure is None else self._measure()
            cpu_s = self.cpu() - self.cpu_before if self.counts_cpu else 0.0
            self._cell.write(self.attempt, self._index, self.started, cpu_s, peak)
            self._engine.increment_epoch()

    def end(self) -> bool:
        """The guest is done: from here on the outputs are the caller's; whether the thread looked at it."""
        with self._lock:
            self.running = False
            self._measure = None
            return self.watched

    def look(self) -> float:
        """Stop the guest where a clock is due; answers how long nothing can become due, in seconds."""
        wall_left = self.started + self._wall_s - time.monotonic()
        cpu_s = self._cpu_s
        cpu_left = _LONGEST_WAIT_S if cpu_s is None else self.cpu_before + cpu_s - self.cpu()
        if wall_left <= 0:
            self.stop(Reason.WALL)
        if cpu_left <= 0:
            self.stop(Reason.CPU)
        # One thread cannot use cpu time faster than time passes, so looking again after cpu_left is never late.
        return min(wall_left, max(cpu_left, 0.001), _LONGEST_WAIT_S)

    def spill_in(self) -> float:
        """Seconds until the outputs should be in files; 0 where that time has come."""
        return max(0.0, self.started + _SPILL_S - time.monotonic())

    def holds_up_in(self) -> float:
        """Seconds until the results of those before should not wait for this one any more; 0 where they must not."""
        return max(0.0, self.started + _HOLD_S - time.monotonic()) if self.running else _HOLD_S


class Watchdog:
    """Owns the thread. `outputs` are read under its lock, by the thread while a guest runs and by the caller after."""

    def __init__(
        self,
        outputs: list[Capture],
        control: int,
        *,
        weigh_scratch: Callable[[], int] | None,
        flush: Callable[[], None],
    ) -> None:
        """`control`: where `Stop` frames come. `weigh_scratch`: answers its bytes; None where it is sized.

        `flush` sends what waits to be sent, and does not block.
        """
        self.lock = threading.Lock()
        self._outputs = outputs
        self._control = control
        self._weigh_scratch = weigh_scratch
        self._flush = flush
        self._next_weighing = 0.0
        self._splitter = Splitter()
        self._stops = msgspec.msgpack.Decoder(Stop)
        self._halted: OrderedDict[int, None] = OrderedDict()
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

    def enter(self, watch: Watch) -> None:
        """A chunk begins: watch over its tasks."""
        with self.lock:
            self._current = watch
        signal.setitimer(signal.ITIMER_REAL, QUIET_S)

    def leave(self) -> None:
        """The chunk is over."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        with self.lock:
            self._current = None

    def wake(self) -> None:
        """A guest that was looked at has ended: back to quiet, before the next one writes."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def is_halted(self, attempt: int) -> bool:
        """Whether no more tasks of it shall begin."""
        return attempt in self._halted

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException:  # noqa: BLE001 - whatever it is
            traceback.print_exc()
            os._exit(70)  # a guest without limits is worse than none

    def _watch(self) -> None:
        wait_s: float | None = None
        poll = self._idle
        while True:
            events = poll.poll(None if wait_s is None else wait_s * 1000 + 0.5)
            ready = {descriptor for descriptor, _ in events}
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            stops = self._read_stops() if self._control in ready else []
            with self.lock:
                poll, wait_s = self._look(stops)
                holds_up = self._current is not None and self._current.holds_up_in() == 0
            if holds_up:
                self._flush()

    def _look(self, stops: list[Stop]) -> tuple[select.poll, float | None]:
        """What to wait for, and how long."""
        watch = self._current
        for stop in stops:
            self._halt(stop, watch)
        if watch is None:
            return self._idle, None
        quiet = QUIET_S if not watch.running else watch.started + QUIET_S - time.monotonic()
        if quiet > 0 and watch.reason is None:
            return self._idle, quiet
        return self._busy, self._look_at_guest(watch)

    def _halt(self, stop: Stop, watch: Watch | None) -> None:
        self._halted[stop.attempt] = None  # also of one that is still on its way to here
        if len(self._halted) > _HALTED_KEPT:
            self._halted.popitem(last=False)
        if stop.running and watch is not None and watch.attempt == stop.attempt:
            watch.stop(Reason.ASKED)

    def _look_at_guest(self, watch: Watch) -> float:
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
        for soon in (spill_in, watch.holds_up_in()):
            if soon > 0:
                wait_s = min(wait_s, soon)
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


def cpu_clock() -> Callable[[], float]:
    """Reads the cpu time of the thread that calls this, from any thread."""
    if hasattr(time, "pthread_getcpuclockid"):
        return partial(time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident()))
    return time.process_time  # macOS: of the whole process, whose other thread hardly runs
