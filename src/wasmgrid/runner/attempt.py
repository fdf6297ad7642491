"""One attempt, from its frame to its end: prepared, instantiated, run, judged, collected, cleaned up."""

from __future__ import annotations

import errno
import os
import time
from functools import partial

import msgspec
import wasmtime

from wasmgrid.core.job import Stats
from wasmgrid.core.limits import MB
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.runner import scratch
from wasmgrid.runner.capture import Capture
from wasmgrid.runner.cell import Cell, Running
from wasmgrid.runner.frames import Attempt, End, Left
from wasmgrid.runner.program import Programs, entry, find_export, make_store
from wasmgrid.runner.traps import GuestExit, Unrunnable, blame_memory, grown_out, outcome_of, output_limit
from wasmgrid.runner.watch import Watch, Watchdog


class Ran:
    """What a run of the guest leaves: its error or None, and what was measured."""

    error: Exception | None = None
    watch: Watch | None = None
    instantiate_ms = wall_ms = cpu_ms = 0.0
    peak_bytes = 0
    declared_max_bytes: int | None = None
    fuel_used: int | None = None


class Attempts:
    """Runs attempts one after the other; everything that they share, and nothing that one could leave to the next."""

    def __init__(self, watchdog: Watchdog, stdout: Capture, stderr: Capture, *, sized_scratch: bool) -> None:
        """`sized_scratch`: the kernel holds it to `disk_mb`."""
        self._watchdog = watchdog
        self._stdout = stdout
        self._stderr = stderr
        self._sized_scratch = sized_scratch
        self._programs = Programs()
        self._cell = Cell()
        scratch.wipe()
        self.spoiled = False  # whether the scratch could not be cleaned: this runner must end

    def run(self, attempt: Attempt) -> End:
        """Run `attempt` to its end, whatever that is; never raises for a guest's doing."""
        started_at = time.time()
        name = f"{attempt.attempt}-{attempt.index}"
        for output in (self._stdout, self._stderr):
            output.begin(name, attempt.limits.output_bytes)
        ran = Ran()
        try:
            self._prepare(attempt)
        except OSError as error:
            ran.error = Unrunnable(
                f"the inputs could not be laid out in disk_mb={attempt.limits.disk_mb}: {error.strerror}"
            )
        else:
            self._run_guest(attempt, ran)
        stdout, stderr = self._stdout.finish(), self._stderr.finish()
        outcome = self._judge(attempt, ran, stderr.data)
        artifacts, outcome = self._clear_up(name, attempt, outcome)
        stats = Stats(
            instantiate_ms=ran.instantiate_ms,
            wall_ms=ran.wall_ms,
            cpu_ms=ran.cpu_ms,
            peak_memory_bytes=ran.peak_bytes,
            output_bytes=stdout.size + stderr.size,
            fuel_used=ran.fuel_used,
        )
        return End(attempt.attempt, attempt.index, outcome, stdout, stderr, artifacts, stats, started_at, time.time())

    def _prepare(self, attempt: Attempt) -> None:
        scratch.prepare(attempt)
        if attempt.copies and not self._sized_scratch and scratch.weigh() > attempt.limits.disk_mb * MB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _run_guest(self, attempt: Attempt, ran: Ran) -> None:
        store: wasmtime.Store | None = None
        try:
            program = self._programs.load(attempt.module, metered=attempt.metered)
            key = (attempt.attempt, attempt.index)
            self._cell.write(Running(*key, time.monotonic(), 0.0, 0))
            watch = ran.watch = Watch(key, attempt.limits, program.engine, self._cell)
            self._watchdog.begin(watch)
            begun = time.perf_counter()
            store = make_store(program, attempt)
            instance = _instantiate(program.pre, store)
            start = entry(store, instance)
            memory = _memory_of(store, instance)
            if memory is not None:
                watch.measure_memory = partial(memory.data_len, store)
            ran.instantiate_ms = (time.perf_counter() - begun) * 1000
            _call(start, store, ran)
            _measure(attempt, store, memory, ran)
        except (GuestExit, Unrunnable, wasmtime.Trap, wasmtime.WasmtimeError, UnicodeEncodeError) as error:
            ran.error = error.with_traceback(None)  # its frames would keep the store alive
        finally:
            self._watchdog.end()
            if store is not None:
                store.close()

    def _judge(self, attempt: Attempt, ran: Ran, stderr: bytes) -> Outcome:
        limits = attempt.limits
        outcome = outcome_of(ran.error, ran.watch.reason if ran.watch else None, limits)
        if not limits.truncate_output and (self._stdout.exceeded or self._stderr.exceeded):
            name, stream = ("stdout", self._stdout) if self._stdout.exceeded else ("stderr", self._stderr)
            if stream.failure:
                return output_limit(f"its {name} could not be kept past {stream.size} bytes: {stream.failure}")
            return output_limit(f"wrote more than {limits.output_bytes} bytes to {name}")
        full = grown_out(ran.peak_bytes, ran.declared_max_bytes, limits)
        return blame_memory(outcome, peak_bytes=ran.peak_bytes, grown_out=full, stderr=stderr, limits=limits)

    def _clear_up(self, name: str, attempt: Attempt, outcome: Outcome) -> tuple[list[Left], Outcome]:
        artifacts: list[Left] = []
        if scratch.is_clean():
            return artifacts, outcome
        try:
            artifacts = scratch.collect(name, attempt.limits.output_bytes)
        except scratch.TooMuch as excess:
            artifacts = excess.kept
            if outcome.kind is OutcomeKind.EXITED and not attempt.limits.truncate_output:
                outcome = output_limit(str(excess))
        except (OSError, RecursionError) as error:
            message = f"{outcome.message or 'ended'}; the files in /out could not be read: {error}"
            outcome = msgspec.structs.replace(outcome, message=message)
        try:
            scratch.wipe()
        except (OSError, RecursionError):
            self.spoiled = True
        return artifacts, outcome


def _instantiate(pre: wasmtime.InstancePre, store: wasmtime.Store) -> wasmtime.Instance:
    try:
        return pre.instantiate(store)
    except wasmtime.WasmtimeError as error:
        text = str(error)
        if "backtrace" in text:
            raise  # its start function ran, and failed
        raise Unrunnable(text) from error


def _call(start: wasmtime.Func, store: wasmtime.Store, ran: Ran) -> None:
    begun, cpu_begun = time.perf_counter(), time.thread_time()
    try:
        start(store)
    except Exception as error:  # noqa: BLE001 - a guest's end, whatever it is, is looked at by `outcome_of`
        ran.error = error.with_traceback(None)
    ran.wall_ms = (time.perf_counter() - begun) * 1000
    ran.cpu_ms = (time.thread_time() - cpu_begun) * 1000


def _memory_of(store: wasmtime.Store, instance: wasmtime.Instance) -> wasmtime.Memory | None:
    memory = find_export(store, instance, "memory")
    return memory if isinstance(memory, wasmtime.Memory) else None


def _measure(attempt: Attempt, store: wasmtime.Store, memory: wasmtime.Memory | None, ran: Ran) -> None:
    if memory is not None:
        ran.peak_bytes = memory.data_len(store)  # a memory never shrinks
        if ran.error is not None:
            most = memory.type(store).limits.max
            ran.declared_max_bytes = None if most is None else most << 16
    if attempt.metered and attempt.limits.fuel is not None:
        ran.fuel_used = attempt.limits.fuel - store.get_fuel()
