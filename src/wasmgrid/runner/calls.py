"""Tasks that call a function: in an instance that the calls of one job share, or each in its own.

A call that returns and leaves no trace is one value of a range; every other one has a result of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from wasmgrid.core.job import Stats
from wasmgrid.core.limits import MB
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.runner import native
from wasmgrid.runner.answers import TooLarge, is_value, judge, value_of, with_failure
from wasmgrid.runner.arguments import Arguments, call_of
from wasmgrid.runner.callee import Callee, find
from wasmgrid.runner.capture import NOTHING
from wasmgrid.runner.frames import End, Run
from wasmgrid.runner.meter import Meter
from wasmgrid.runner.outbox import Outbox
from wasmgrid.runner.process import ENDS
from wasmgrid.runner.program import Program
from wasmgrid.runner.room import Room
from wasmgrid.runner.sandbox import Sandbox
from wasmgrid.runner.serving import Served
from wasmgrid.runner.traps import Unrunnable, blame_memory, grown_out
from wasmgrid.runner.watch import Watch, Watchdog

_ENDS = (*ENDS, TooLarge)


class _Instance:
    """A sandbox that calls are made in, once the first has opened it. `served`: how many have returned from it."""

    def __init__(self, run: Run, program: Program) -> None:
        self.run = run
        self.sandbox = Sandbox(program, run)
        self.callee: Callee | None = None
        self.guest: Served | None = None  # where it runs beside, in an interpreter
        self.served = 0

    def suits(self, run: Run) -> bool:
        """Whether calls of `run` may be made in it, too."""
        mine = self.run
        return (
            (mine.job_id, mine.module, mine.function) == (run.job_id, run.module, run.function)
            and (mine.limits, mine.env, mine.isolate) == (run.limits, run.env, run.isolate)
            and self.callee is not None
        )

    def open(self, run: Run, index: int, joins: Callable[[Served], None]) -> Callee:
        """Make it ready for calls, `index` the first. Raises what a guest's code ends with, and `Unrunnable`.

        `joins` is told of a guest that will run beside, before it does.
        """
        if self.run is not run:
            self.run, self.sandbox = run, Sandbox(self.sandbox.program, run)
        self.sandbox.open([], run.stdin, index if run.array and run.isolate else None)
        if run.bundle is not None:
            self.guest = Served(self.sandbox)
            joins(self.guest)
            self.guest.begin()
        self.callee = self.guest or find(self.sandbox, run.function or "")
        return self.callee

    def close(self) -> None:
        """The next call finds a new one."""
        if self.guest is not None:
            self.guest.close()
        self.callee, self.guest, self.served = None, None, 0
        self.sandbox.close()


class Calls:
    """One runner's calls; the instance of the last run stays for the next one of the same job, until `drop`."""

    def __init__(self, room: Room, watchdog: Watchdog, outbox: Outbox) -> None:
        self._room = room
        self._watchdog = watchdog
        self._outbox = outbox
        self._kept: _Instance | None = None

    def drop(self) -> None:
        """Give the instance up."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def run(self, run: Run, program: Program, watch: Watch) -> None:
        """Call the function for every task, until the run is halted."""
        kept = self._kept
        if kept is None or not kept.suits(run):
            self.drop()
            kept = self._kept = _Instance(run, program)
        watch.counts_cpu = run.limits.cpu_s is not None
        meter = self._outbox.meter = Meter(metered=run.metered)
        if kept.guest is not None:
            watch.beside = kept.guest.cpu
            meter.count_beside(kept.guest.cpu, since=kept.guest.cpu())
        batch = _Batch(run, kept, self._room, self._watchdog, watch, self._outbox, meter)
        try:
            batch.call_all()
        finally:
            watch.end()
            has_files = run.mounts or run.copies or run.stdin_file
            if run.isolate or has_files or watch.reason is not None:
                self.drop()  # what it has open goes with this run; or it was stopped, though between two calls


class _Batch:
    """The calls of one run."""

    def __init__(
        self,
        run: Run,
        instance: _Instance,
        room: Room,
        watchdog: Watchdog,
        watch: Watch,
        outbox: Outbox,
        meter: Meter,
    ) -> None:
        self._run = run
        self._instance = instance
        self._room = room
        self._watchdog = watchdog
        self._watch = watch
        self._outbox = outbox
        self._meter = meter
        self._limits = run.limits
        self._fuel = run.limits.fuel if run.metered else None
        self._fuel_used = 0  # by the last call
        self._is_ready = False  # whether the room is

    def call_all(self) -> None:
        """One after the other."""
        self._measure_peak()
        run, outbox, room, is_halted = self._run, self._outbox, self._room, self._watchdog.is_halted
        arguments = Arguments(run)
        lines = arguments.calls()
        for at in range(run.count):
            if is_halted(run.attempt) or room.spoiled:
                return
            index = run.first + at
            try:
                if lines is None:
                    given = arguments.of(index).call
                elif (given := lines[at])[:1] != b"[":
                    given = call_of(given)
                if not self._is_ready:
                    room.enter(run)
                    self._is_ready = True
            except Unrunnable as error:
                outcome, now = judge(b"", error, None, self._limits), time.time()
                outbox.add(End(index, outcome, NOTHING, NOTHING, [], Stats(), now, now))
            else:
                self._call(index, given)
            if outbox.is_due():
                self._measure_peak()
                outbox.flush()
        self._measure_peak()

    def _measure_peak(self) -> None:
        """A memory never shrinks, so that a look now and then is enough."""
        sandbox = self._instance.sandbox
        if sandbox.context is not None:
            self._meter.peak_bytes = max(self._meter.peak_bytes, sandbox.memory_size())

    def _call(self, index: int, given: bytes) -> None:
        """One call to its end, whatever that is; never raises for a guest's doing."""
        instance, watch = self._instance, self._watch
        error: Exception | None = None
        answer = b""
        if watch.counts_cpu:
            watch.cpu_before = watch.cpu()
        if watch.begin(index, instance.sandbox.memory_size) and instance.callee is not None:
            native.set_epoch_deadline(instance.sandbox.context, 1)  # the stop came too late for the call before
        try:
            callee = instance.callee or self._open(index)
            answer = callee.call(given) if self._fuel is None else self._call_metered(callee, given, self._fuel)
        except _ENDS as raised:
            error = raised.with_traceback(None)  # its frames would keep what they hold alive
        wrote, touched = self._room.look()
        # In this order: what the thread beside has taken out of a pipe, it has been seen to look at.
        if watch.watched and watch.end():
            self._watchdog.wake()
            wrote = wrote or not self._room.is_silent
        returned = error is None and is_value(answer) and b"\n" not in answer
        if returned and not (wrote or touched or watch.reason):
            instance.served += 1
            self._meter.until = time.monotonic()
            self._meter.fuel_used += self._fuel_used
            self._outbox.add_value(index, answer[1:])
            if self._run.isolate:
                self._close()
        else:
            self._look_closer(index, given, answer, error, touched=touched)

    def _open(self, index: int) -> Callee:
        begun = time.monotonic()
        callee = self._instance.open(self._run, index, self._joins)
        self._meter.instantiate_s += time.monotonic() - begun
        self._measure_peak()
        return callee

    def _joins(self, guest: Served) -> None:
        self._watch.beside = guest.cpu
        self._meter.count_beside(guest.cpu)

    def _call_metered(self, callee: Callee, given: bytes, fuel: int) -> bytes:
        sandbox = self._instance.sandbox
        sandbox.set_fuel(fuel)
        try:
            return callee.call(given)
        finally:
            self._fuel_used = fuel - sandbox.fuel_left()

    def _close(self) -> None:
        """The instance has served; whoever looks at its memory must not any more."""
        self._watch.end()
        self._measure_peak()
        self._instance.close()
        self._watch.beside = None
        self._meter.count_beside(None)

    def _look_closer(self, index: int, given: bytes, answer: bytes, error: Exception | None, *, touched: bool) -> None:
        """The same for a call that left a trace, took long, or did not return."""
        watch, room, limits, sandbox = self._watch, self._room, self._limits, self._instance.sandbox
        wall_s = time.monotonic() - watch.started
        watch.end()
        served, label = self._instance.served, f"{self._run.attempt}-{index}"
        peak = sandbox.memory_size() if sandbox.context is not None else 0
        full = error is not None and grown_out(peak, sandbox.memory_most(), limits)
        if error is not None or watch.reason is not None or self._run.isolate:
            self._close()
        else:
            self._instance.served += 1
        stdout, stderr = room.outputs(label)
        outcome = room.overflow(limits) or judge(answer, error, watch.reason, limits)
        if error is not None:
            outcome = blame_memory(outcome, peak_bytes=peak, grown_out=full, stderr=stderr.data, limits=limits)
        artifacts, outcome = room.clear(label, limits, outcome) if touched else ([], outcome)
        self._is_ready = False
        died = outcome.kind in {OutcomeKind.OUT_OF_MEMORY, OutcomeKind.TRAPPED}
        if died and served and peak * 2 > limits.memory_mb * MB:
            # Those before may have left too little: called once more, with all of the memory for itself.
            room.enter(self._run)
            self._call(index, given)
            return
        stderr = with_failure(stderr, answer, limits)
        self._outbox.close_range()
        self._meter.fuel_used = self._fuel_used
        stats = replace(self._meter.of_one(wall_s, peak), output_bytes=stdout.size + stderr.size)
        value = value_of(answer) if outcome.succeeded and error is None else None
        now = time.time()
        self._outbox.add(End(index, outcome, stdout, stderr, artifacts, stats, now - wall_s, now, value))
