"""The runners of one agent: started on demand, kept for their tenant, one spare warm, every attempt on a clock."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from wasmgrid.core.errors import InvalidField, TooLarge, Unavailable
from wasmgrid.core.limits import DEFAULT_DISK_MB
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import FRAME_BYTES, TailChunk
from wasmgrid.runner.frames import INPUTS, Attempt, Confinement
from wasmgrid.worker.cgroups import CpuCaps
from wasmgrid.worker.child import Child, RunnerDied
from wasmgrid.worker.inputs import Layout, lay_out
from wasmgrid.worker.pool import Pool
from wasmgrid.worker.report import Reports, label
from wasmgrid.worker.task import RunnerReport, RunnerTask, TaskKey

IDLE_S = 30.0
KILL_AFTER_S = 0.06  # a guest that has not heard the end of its time by then is blocked in a host call
_SETUP_S = 60.0  # at most this long for loading a module and copying inputs, before a guest's time begins
_TAIL_BYTES = FRAME_BYTES // 2
_TAIL_LOOK_S = 0.02


class _Live:
    """An attempt on its way. `child` is set while its guest runs; `verdict` is how it ends if it is ended from here."""

    def __init__(self, task: RunnerTask) -> None:
        self.task = task
        self.child: Child | None = None
        self.verdict: Outcome | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.begun = time.monotonic()

    def kill(self) -> None:
        """kill -9 of the runner, if the guest runs."""
        if self.child is not None:
            self.child.kill()


class Runners:
    """All on one event loop, whose thread starts the processes. Call `start`, and `close` whatever happens."""

    def __init__(self, directory: Path, *, idle_s: float = IDLE_S, spare_disk_mb: int = DEFAULT_DISK_MB) -> None:
        """`directory`, emptied at the start, holds one box per runner, and reports that are not yet released."""
        self._pool = Pool(directory, idle_s=idle_s, spare_disk_mb=spare_disk_mb, on_gone=self._forget)
        self._reports = Reports(directory / "reports")
        self._live: dict[TaskKey, _Live] = {}
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
    def live(self) -> list[TaskKey]:
        """The attempts that run now."""
        return list(self._live)

    def pid_of(self, key: TaskKey) -> int | None:
        """The process that runs this attempt, or None where it is not live."""
        live = self._live.get(key)
        return None if live is None or live.child is None else live.child.pid

    @property
    def cpu_caps(self) -> bool:
        """Whether cpus below 1 can be held here."""
        return self._caps is not None

    async def run(self, task: RunnerTask) -> RunnerReport:
        """Run one attempt to its end. A guest's failure, and a runner's death, are in the report.

        Cancelling this kills the runner. Raises `Unavailable` where none can be started or the disk is full: nothing
        ran then.
        """
        live = self._live[task.key] = _Live(task)
        try:
            child = await self._pool.take(task.tenant, task.limits.disk_mb)
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
            del self._live[task.key]

    def kill(self, key: TaskKey, outcome: Outcome) -> None:
        """End a live attempt now, with `outcome` in its report; nothing where it is not live any more."""
        live = self._live.get(key)
        if live is None:
            return
        live.verdict = outcome
        if live.child is not None:
            live.child.stop(key)
            self._arm(live, KILL_AFTER_S, _Live.kill)

    async def tail(self, key: TaskKey, *, stdout_offset: int, stderr_offset: int, wait_s: float = 0.0) -> TailChunk:
        """Output of a live attempt from these offsets, waiting up to `wait_s` for some; not `known` where not live."""
        deadline = time.monotonic() + wait_s
        while (live := self._live.get(key)) is not None:
            stdout = self._read(live, "stdout", stdout_offset)
            stderr = self._read(live, "stderr", stderr_offset)
            if stdout or stderr or time.monotonic() >= deadline:
                return TailChunk(stdout=stdout, stderr=stderr)
            await asyncio.sleep(_TAIL_LOOK_S)
        return TailChunk(known=False, ended=True)

    def _read(self, live: _Live, stream: str, offset: int) -> bytes:
        if live.child is None:
            return b""
        return self._reports.read_live(live.child.box, live.task.key, stream, offset, _TAIL_BYTES)

    def release(self, key: TaskKey) -> None:
        """The files of this attempt's report are no longer needed."""
        self._reports.release(key)

    # ---- one attempt

    def _forget(self, child: Child) -> None:
        if self._caps is not None:
            self._caps.forget(child.number)

    async def _run_on(self, child: Child, live: _Live) -> RunnerReport:
        task = live.task
        try:
            attempt = await self._prepare(child, task)
        except (InvalidField, TooLarge) as error:
            live.verdict = Outcome(kind=OutcomeKind.REJECTED, message=f"inputs: {error.message}")
        except OSError as error:
            child.kill()
            hint = "make room on the worker's disk"
            raise Unavailable(f"the attempt could not be laid out: {error.strerror}", hint=hint) from error
        if live.verdict is None:
            report = await self._run_guest(child, attempt, live)
        else:
            report = _unrun(task, live.verdict)
        if task.inputs or isinstance(task.stdin, Path):
            await asyncio.to_thread(child.box.clear_inputs)
        return report

    async def _run_guest(self, child: Child, attempt: Attempt, live: _Live) -> RunnerReport:
        task = live.task
        enforced = self._caps is not None and self._caps.hold(child.number, child.pid, task.milli_cpus)
        live.child, live.begun = child, time.monotonic()
        self._arm(live, task.limits.wall_s + KILL_AFTER_S, self._look_at_clock)
        try:
            end = await child.run(attempt)
        except RunnerDied as death:
            return self._reports.of_death(child.box, task, live.verdict, death.how, live.begun, enforced)
        return self._reports.of_end(child.box, end, live.verdict, enforced)

    async def _prepare(self, child: Child, task: RunnerTask) -> Attempt:
        layout = Layout([], [])
        stdin, stdin_file = task.stdin, None
        if task.inputs or isinstance(stdin, Path):
            layout, stdin_file = await asyncio.to_thread(_lay_out, child.box.path, task)
        return Attempt(
            task.attempt,
            task.index,
            child.box.add_module(task.module),
            task.module.metered,
            task.limits,
            task.args,
            task.env,
            stdin if isinstance(stdin, bytes) else b"",
            stdin_file,
            layout.mounts,
            layout.copies,
        )

    def _arm(self, live: _Live, delay_s: float, act: Callable[[_Live], None]) -> None:
        if live.timer is not None:
            live.timer.cancel()
        live.timer = asyncio.get_running_loop().call_later(delay_s, act, live)

    def _look_at_clock(self, live: _Live) -> None:
        """The attempt's time is over, counted from its frame: but the guest's own counts from its start."""
        limits = live.task.limits
        running = None if live.child is None else live.child.box.running(live.task.key)
        latest = live.begun + _SETUP_S
        due = min(latest if running is None else running.started, latest) + limits.wall_s + KILL_AFTER_S
        if (left := due - time.monotonic()) > 0:
            self._arm(live, left, self._look_at_clock)
            return
        message = f"ran longer than its limit of {limits.wall_s:g} s, and had to be killed"
        live.verdict = Outcome(kind=OutcomeKind.TIMED_OUT, message=message)
        live.kill()


def _unrun(task: RunnerTask, outcome: Outcome) -> RunnerReport:
    now = time.time()
    return RunnerReport(attempt=task.attempt, index=task.index, outcome=outcome, started_at=now, finished_at=now)


def _lay_out(box: Path, task: RunnerTask) -> tuple[Layout, str | None]:
    name = label(task.key)
    layout = lay_out(box, task.inputs, label=f"{name}.")
    if not isinstance(task.stdin, Path):
        return layout, None
    stdin = f"{INPUTS}/{name}.stdin"
    shutil.copyfile(task.stdin, box / stdin)
    (box / stdin).chmod(0o444)
    return layout, stdin
