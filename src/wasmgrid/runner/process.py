"""Tasks that run a program: each in a fresh sandbox, from its arguments to its end."""

from __future__ import annotations

import time

import wasmtime

from wasmgrid.core.job import Stats
from wasmgrid.core.outcome import exited
from wasmgrid.runner.arguments import Arguments
from wasmgrid.runner.capture import NOTHING
from wasmgrid.runner.frames import End, Left, Run
from wasmgrid.runner.program import Program
from wasmgrid.runner.room import Room
from wasmgrid.runner.sandbox import Sandbox
from wasmgrid.runner.traps import GuestExit, Unrunnable, blame_memory, grown_out, outcome_of
from wasmgrid.runner.watch import Watch, Watchdog

RETURNED = exited(0)
ENDS = (GuestExit, Unrunnable, wasmtime.Trap, wasmtime.WasmtimeError, UnicodeEncodeError)
"""What comes out of a sandbox when a guest does not return."""
_NO_FILES: list[Left] = []


class Processes:
    """The tasks of one run, one at a time; nothing that one leaves is there for the next."""

    def __init__(self, run: Run, program: Program, room: Room, watchdog: Watchdog, watch: Watch) -> None:
        self._run = run
        self._room = room
        self._watchdog = watchdog
        self._watch = watch
        self._arguments = Arguments(run)
        self._sandbox = Sandbox(program, run)
        self._limits = run.limits
        self._metered = run.metered and run.limits.fuel is not None

    def run(self, index: int) -> End:
        """Run task `index` to its end, whatever that is; never raises for a guest's doing."""
        started_at = time.time()
        sandbox, watch, room = self._sandbox, self._watch, self._room
        error: Exception | None = None
        peak, most, fuel = 0, None, None
        begun = called = time.monotonic()
        try:
            room.enter(self._run)
            given = None if self._arguments.same else self._arguments.of(index)
            watch.begin(index, sandbox.memory_size)
            begun = called = watch.started
            if given is None:
                sandbox.open(None, self._run.stdin, index if self._run.array else None)
            else:
                sandbox.open(given.args, given.stdin, index)
            called = time.monotonic()
            sandbox.start()
        except ENDS as raised:
            error = raised.with_traceback(None)  # its frames would keep what they hold alive
        ended = time.monotonic()
        # Reading that clock is a system call of 2 us, so one reading ends a task and begins the next.
        cpu_after = time.thread_time()
        cpu_s, watch.cpu_before = cpu_after - watch.cpu_before, cpu_after
        if sandbox.context is not None:
            peak = sandbox.memory_size()  # a memory never shrinks
            most = None if error is None else sandbox.memory_most()
            fuel = self._limits.fuel - sandbox.fuel_left() if self._metered and self._limits.fuel is not None else None
        watched = watch.end()
        sandbox.close()
        if watched:
            self._watchdog.wake()
        stats = Stats(
            instantiate_ms=(called - begun) * 1000,
            wall_ms=(ended - called) * 1000,
            cpu_ms=cpu_s * 1000,
            peak_memory_bytes=peak,
            fuel_used=fuel,
        )
        wrote, touched = room.look()
        if error is None and not (wrote or touched or watched or watch.reason):
            return End(index, RETURNED, NOTHING, NOTHING, _NO_FILES, stats, started_at, time.time())
        return self._look_closer(index, error, stats, most, started_at, touched=touched)

    def _look_closer(
        self, index: int, error: Exception | None, stats: Stats, most: int | None, started_at: float, *, touched: bool
    ) -> End:
        room, limits, label = self._room, self._limits, f"{self._run.attempt}-{index}"
        stdout, stderr = room.outputs(label)
        if stdout.size or stderr.size:
            stats = _with_output(stats, stdout.size + stderr.size)
        outcome = RETURNED if error is None else outcome_of(error, self._watch.reason, limits)
        overflow = room.overflow(limits)
        if overflow is not None:
            outcome = overflow
        elif not outcome.succeeded:
            peak = stats.peak_memory_bytes
            full = grown_out(peak, most, limits)
            outcome = blame_memory(outcome, peak_bytes=peak, grown_out=full, stderr=stderr.data, limits=limits)
        artifacts = _NO_FILES
        if touched:
            artifacts, outcome = room.clear(label, limits, outcome)
            self._watch.cpu_before = time.thread_time()  # what the cleaning took is not the next one's
        return End(index, outcome, stdout, stderr, artifacts, stats, started_at, time.time())


def _with_output(stats: Stats, output_bytes: int) -> Stats:
    return Stats(
        instantiate_ms=stats.instantiate_ms,
        wall_ms=stats.wall_ms,
        cpu_ms=stats.cpu_ms,
        peak_memory_bytes=stats.peak_memory_bytes,
        output_bytes=output_bytes,
        fuel_used=stats.fuel_used,
    )
