"""The runners of one agent: started on demand, kept for their tenant, one spare warm, every task on a clock."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from wasmgrid.core.errors import InvalidField, TooLarge, Unavailable
from wasmgrid.core.limits import DEFAULT_DISK_MB
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.ranges import Run as Indexes
from wasmgrid.core.wire import FRAME_BYTES, TailChunk
from wasmgrid.runner.frames import INPUTS, Confinement, Ended, Run
from wasmgrid.worker.box import Box
from wasmgrid.worker.cgroups import CpuCaps
from wasmgrid.worker.child import Child, RunnerDied
from wasmgrid.worker.inputs import Layout, lay_out
from wasmgrid.worker.pool import Pool
from wasmgrid.worker.report import Reports
from wasmgrid.worker.task import Current, OnResults, RunnerChunk, RunnerReport, TaskKey

IDLE_S = 30.0
KILL_AFTER_S = 0.06  # a guest that has not heard the end of its time by then is blocked in a host call
_SETUP_S = 60.0  # at most this long for loading a module and copying inputs, before a guest's time begins
_TAIL_BYTES = FRAME_BYTES // 2
_TAIL_LOOK_S = 0.02


class _Live:
    """A chunk on its way. `child` is set while it runs; `verdict` is how its task ends if it is ended from here."""

    def __init__(self, chunk: RunnerChunk, on_results: OnResults) -> None:
        self.chunk = chunk
        self.on_results = on_results
        self.child: Child | None = None
        self.verdict: Outcome | None = None
        self.condemned: int | None = None  # the task that the verdict is for, where it is not whichever runs
        self.halted = False
        self.timer: asyncio.TimerHandle | None = None
        self.heard = time.monotonic()
        self.next = chunk.tasks.first  # results come in order: none has come from this one on
        self.end = chunk.tasks.first + chunk.tasks.count
        self.enforced = False

    def rest(self, begun: int | None = None) -> list[Indexes]:
        """The tasks that have no result yet, but for `begun`."""
        if begun is None:
            runs = [(self.next, self.end - self.next)]
        else:
            runs = [(self.next, begun - self.next), (begun + 1, self.end - begun - 1)]
        return [run for run in runs if run[1] > 0]


class Runners:
    """All on one event loop, whose thread starts the processes. Call `start`, and `close` whatever happens."""

    def __init__(self, directory: Path, *, idle_s: float = IDLE_S, spare_disk_mb: int = DEFAULT_DISK_MB) -> None:
        """`directory`, emptied at the start, holds one box per runner, and reports that are not yet released."""
        self._pool = Pool(directory, idle_s=idle_s, spare_disk_mb=spare_disk_mb, on_gone=self._forget)
        self._reports = Reports(directory / "reports")
        self._live: dict[int, _Live] = {}
        self._caps: CpuCaps | None = None

    async def start(self) -> Confinement:
        """Clear what a former life left, start the spare; says what confines it. Raises `Unavailable`."""
        self._caps = CpuCaps.probe()
        spare = await self._pool.start()
        return spare.confinement

    async def close(self) -> None:
        """Kill every runner and wait for their end."""
        await self._pool.close()
        if self._caps is not None:
            self._caps.close()

    @property
    def pids(self) -> list[int]:
        """The processes that live now."""
        return self._pool.pids

    @property
    def has_spare(self) -> bool:
        """Whether a runner waits for a tenant that has none."""
        return self._pool.has_spare

    @property
    def live(self) -> list[int]:
        """The attempts that are here now."""
        return list(self._live)

    def pid_of(self, attempt: int) -> int | None:
        """The process that runs this attempt, or None where none does."""
        live = self._live.get(attempt)
        return None if live is None or live.child is None else live.child.pid

    def current(self, attempt: int) -> Current | None:
        """The task of this attempt that runs now; None where none does."""
        live = self._live.get(attempt)
        running = None if live is None or live.child is None else live.child.box.running(attempt)
        return None if running is None else Current(running.task_index, running.started)

    @property
    def cpu_caps(self) -> bool:
        """Whether cpus below 1 can be held here."""
        return self._caps is not None

    async def run_chunk(self, chunk: RunnerChunk, on_results: OnResults) -> list[Indexes]:
        """Run tasks one after the other; answers those that were not begun.

        There are such after `halt` and `stop`, and where the runner dies: the task that it ran is blamed, those behind
        it are well. A guest's failure, and a runner's death, are in the reports. Cancelling this kills the runner.
        Raises `Unavailable` where none can be started or the disk is full: nothing was begun then.
        """
        live = self._live[chunk.attempt] = _Live(chunk, on_results)
        try:
            child = await self._pool.take(chunk.tenant, chunk.limits.disk_mb)
            try:
                return await self._run_on(child, live)
            except asyncio.CancelledError:
                child.kill()
                raise
            finally:
                self._pool.give_back(child)
        finally:
            if live.timer is not None:
                live.timer.cancel()
            del self._live[chunk.attempt]

    def halt(self, attempt: int) -> None:
        """Begin no more tasks of this attempt: the one that runs goes on to its end."""
        live = self._live.get(attempt)
        if live is not None:
            live.halted = True
            if live.child is not None:
                live.child.stop(attempt, running=False)

    def stop(self, attempt: int, outcome: Outcome) -> None:
        """Begin no more tasks of this attempt, and end the one that runs now, with `outcome` in its report."""
        live = self._live.get(attempt)
        if live is None:
            return
        live.halted, live.verdict, live.condemned = True, outcome, None
        if live.child is not None:
            live.child.stop(attempt, running=True)
            self._arm(live, KILL_AFTER_S, self._look_at_stopped)

    async def tail(self, key: TaskKey, *, stdout_offset: int, stderr_offset: int, wait_s: float = 0.0) -> TailChunk:
        """Output of a task from these offsets, waiting up to `wait_s` for some; not `known` where it is over."""
        deadline = time.monotonic() + wait_s
        while (live := self._live.get(key[0])) is not None and live.next <= key[1] < live.end:
            stdout = self._read(live, key, "stdout", stdout_offset)
            stderr = self._read(live, key, "stderr", stderr_offset)
            if stdout or stderr or time.monotonic() >= deadline:
                return TailChunk(stdout=stdout, stderr=stderr)
            await asyncio.sleep(_TAIL_LOOK_S)
        return TailChunk(known=False, ended=True)

    def _read(self, live: _Live, key: TaskKey, stream: str, offset: int) -> bytes:
        if live.child is None:
            return b""
        return self._reports.read_live(live.child.box, key, stream, offset, _TAIL_BYTES)

    def release(self, key: TaskKey) -> None:
        """The files of this task's report are no longer needed."""
        self._reports.release(key)

    # ---- one chunk

    def _forget(self, child: Child) -> None:
        if self._caps is not None:
            self._caps.forget(child.number)

    async def _run_on(self, child: Child, live: _Live) -> list[Indexes]:
        chunk = live.chunk
        has_files = bool(chunk.inputs) or isinstance(chunk.tasks.stdin, Path)
        try:
            layout, stdin_file = await asyncio.to_thread(_lay_out, child.box.path, chunk) if has_files else _NO_FILES
            run = _run_of(chunk, child.box, layout, stdin_file)
        except (InvalidField, TooLarge) as error:
            refused = Outcome(kind=OutcomeKind.REJECTED, message=f"inputs: {error.message}")
            live.on_results([_unrun(chunk.attempt, index, refused) for index in range(live.next, live.end)], [])
            live.next = live.end
        except OSError as error:
            child.kill()
            hint = "make room on the worker's disk"
            raise Unavailable(f"the attempt could not be laid out: {error.strerror}", hint=hint) from error
        else:
            if not live.halted:
                rest = await self._run_guests(child, run, live)
                if has_files:
                    await asyncio.to_thread(child.box.clear_inputs)
                return rest
        if has_files:
            await asyncio.to_thread(child.box.clear_inputs)
        return live.rest()

    async def _run_guests(self, child: Child, run: Run, live: _Live) -> list[Indexes]:
        chunk = live.chunk
        live.enforced = self._caps is not None and self._caps.hold(child.number, child.pid, chunk.milli_cpus)
        live.child, live.heard = child, time.monotonic()
        self._arm(live, chunk.limits.wall_s + KILL_AFTER_S, self._look_at_clock)
        try:
            await child.run(run, partial(self._heard, live))
        except RunnerDied as death:
            return self._bury(child, live, death.how)
        return live.rest()

    def _heard(self, live: _Live, ended: Ended) -> None:
        """Tasks have ended, in order of their indexes."""
        live.heard = time.monotonic()
        if live.child is None or not (ended.ends or ended.returns):
            return
        box, attempt = live.child.box, live.chunk.attempt
        reports = [self._reports.of_end(box, attempt, end, live.verdict, live.enforced) for end in ended.ends]
        ranges = [self._reports.of_returns(attempt, one, live.enforced) for one in ended.returns]
        if reports:
            live.next = max(live.next, reports[-1].index + 1)
        if ranges:
            live.next = max(live.next, ranges[-1].first + ranges[-1].count)
        live.on_results(reports, ranges)

    def _bury(self, child: Child, live: _Live, how: str) -> list[Indexes]:
        """The runner is dead: report the task that it ran; answers those without a result, which are well."""
        running = child.box.running(live.chunk.attempt)
        blamed = None if running is None or not live.next <= running.task_index < live.end else running.task_index
        if live.condemned is not None and live.condemned != blamed:
            blamed = None  # the kill met the next one
        elif blamed is None and live.next == live.chunk.tasks.first and live.next < live.end:
            blamed = live.next  # it did not get anywhere: so that nobody tries for ever
        if blamed is not None:
            report = self._reports.of_death(child.box, live.chunk, blamed, live.verdict, how, live.heard, live.enforced)
            live.on_results([report], [])
        return live.rest(blamed)

    # ---- clocks

    def _arm(self, live: _Live, delay_s: float, act: Callable[[_Live], None]) -> None:
        if live.timer is not None:
            live.timer.cancel()
        live.timer = asyncio.get_running_loop().call_later(delay_s, act, live)

    def _look_at_clock(self, live: _Live) -> None:
        """Some task's time may be over, counted from its guest's own start."""
        if live.child is None:
            return
        limits = live.chunk.limits
        running = live.child.box.running(live.chunk.attempt)
        latest = live.heard + _SETUP_S  # whatever the runner says
        due = min(latest if running is None else running.started, latest) + limits.wall_s + KILL_AFTER_S
        if (left := due - time.monotonic()) > 0:
            self._arm(live, left, self._look_at_clock)
            return
        message = f"ran longer than its limit of {limits.wall_s:g} s, and had to be killed"
        live.verdict = Outcome(kind=OutcomeKind.TIMED_OUT, message=message)
        live.condemned = None if running is None else running.task_index
        live.child.kill()

    def _look_at_stopped(self, live: _Live) -> None:
        """A guest that was told to stop and still runs is blocked in a host call."""
        if live.child is None:
            return
        waited = time.monotonic() - live.heard
        if live.child.box.running(live.chunk.attempt) is not None or waited > _SETUP_S:
            live.child.kill()
        else:
            self._arm(live, KILL_AFTER_S, self._look_at_stopped)  # it has ended, and is cleaned up after


_NO_FILES: tuple[Layout, str | None] = (Layout([], []), None)


def _run_of(chunk: RunnerChunk, box: Box, layout: Layout, stdin_file: str | None) -> Run:
    tasks, bundle = chunk.tasks, chunk.module.bundle
    module, argv = box.add_module(chunk.module), []
    if bundle is not None:
        argv = bundle.argv if chunk.function is None else [*bundle.serve_argv, chunk.function]
    return Run(
        chunk.attempt,
        chunk.job_id,
        module,
        chunk.module.metered,
        chunk.limits,
        chunk.env,
        layout.mounts,
        layout.copies,
        tasks.args,
        tasks.stdin if isinstance(tasks.stdin, bytes) else b"",
        stdin_file,
        tasks.first,
        tasks.count,
        tasks.lines,
        tasks.use,
        chunk.array,
        chunk.function,
        chunk.isolate,
        chunk.hold_s,
        None if bundle is None else box.add_bundle(bundle),
        argv,
    )


def _unrun(attempt: int, index: int, outcome: Outcome) -> RunnerReport:
    now = time.time()
    return RunnerReport(attempt=attempt, index=index, outcome=outcome, started_at=now, finished_at=now)


def _lay_out(box: Path, chunk: RunnerChunk) -> tuple[Layout, str | None]:
    layout = lay_out(box, chunk.inputs, label=f"{chunk.attempt}.")
    if not isinstance(chunk.tasks.stdin, Path):
        return layout, None
    stdin = f"{INPUTS}/{chunk.attempt}.stdin"
    shutil.copyfile(chunk.tasks.stdin, box / stdin)
    (box / stdin).chmod(0o444)
    return layout, stdin
