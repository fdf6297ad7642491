"""The runners of one agent: started on demand, kept for their tenant, one spare warm, every attempt on a clock."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from wasmgrid.core.errors import InvalidField, TooLarge, Unavailable
from wasmgrid.core.limits import DEFAULT_DISK_MB
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import FRAME_BYTES, TailChunk
from wasmgrid.runner.frames import INPUTS, Attempt, Confinement
from wasmgrid.worker.box import remove_tree
from wasmgrid.worker.cgroups import CpuCaps
from wasmgrid.worker.child import Child, RunnerDied
from wasmgrid.worker.inputs import Layout, lay_out
from wasmgrid.worker.report import Reports
from wasmgrid.worker.task import RunnerReport, RunnerTask, TaskKey

IDLE_S = 30.0
KILL_AFTER_S = 0.1  # a guest that has not heard the end of its time by then is blocked in a host call
_SETUP_S = 60.0  # at most this long for loading a module and copying inputs, before a guest's time begins
_SPARE_PAUSE_S = 0.25  # a new spare is started when the attempt that took the last one is likely over
_TAIL_BYTES = FRAME_BYTES // 2
_TAIL_LOOK_S = 0.02

log = structlog.get_logger()


class _Live:
    """An attempt that a runner holds; `verdict` is how it ends if its runner is killed now."""

    def __init__(self, child: Child, task: RunnerTask) -> None:
        self.child = child
        self.task = task
        self.verdict: Outcome | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.begun = time.monotonic()


class Runners:
    """All on one event loop, whose thread starts the processes. Call `start`, and `close` whatever happens."""

    def __init__(self, directory: Path, *, idle_s: float = IDLE_S, spare_disk_mb: int = DEFAULT_DISK_MB) -> None:
        """`directory`, emptied at the start, holds one box per runner, and reports that are not yet released."""
        self._directory = directory
        self._idle_s = idle_s
        self._spare_disk_mb = spare_disk_mb
        self._spare: Child | None = None
        self._spare_task: asyncio.Task[None] | None = None
        self._idle: list[tuple[Child, asyncio.TimerHandle]] = []
        self._all: set[Child] = set()
        self._live: dict[TaskKey, _Live] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._caps: CpuCaps | None = None
        self._started = 0
        self._closed = False
        self._reports = Reports(directory / "reports")

    async def start(self) -> Confinement:
        """Clear what a former life left, start the spare; says what confines it. Raises `Unavailable`."""
        if self._directory.exists():
            await asyncio.to_thread(remove_tree, self._directory)
        self._directory.mkdir(parents=True, mode=0o711, exist_ok=True)  # what could not be removed is in nobody's way
        self._caps = CpuCaps.probe()
        self._spare = await self._start_child(self._spare_disk_mb)
        return self._spare.confinement

    async def close(self) -> None:
        """Kill every runner and wait for their end."""
        self._closed = True
        if self._spare_task is not None:
            self._spare_task.cancel()
            await asyncio.gather(self._spare_task, return_exceptions=True)
        for child in list(self._all):
            child.kill()
        await asyncio.gather(*self._ending, return_exceptions=True)
        if self._caps is not None:
            self._caps.close()

    @property
    def pids(self) -> list[int]:
        """The processes that live now."""
        return [child.pid for child in self._all]

    @property
    def has_spare(self) -> bool:
        """Whether a runner waits for a tenant that has none."""
        return self._spare is not None and self._spare.usable

    @property
    def live(self) -> list[TaskKey]:
        """The attempts that run now."""
        return list(self._live)

    def pid_of(self, key: TaskKey) -> int | None:
        """The process that runs this attempt, or None where it is not live."""
        live = self._live.get(key)
        return None if live is None else live.child.pid

    @property
    def cpu_caps(self) -> bool:
        """Whether cpus below 1 can be held here."""
        return self._caps is not None

    async def run(self, task: RunnerTask) -> RunnerReport:
        """Run one attempt to its end. A guest's failure, and a runner's death, are in the report.

        Cancelling this kills the runner. Raises `Unavailable` where no runner can be started (nothing ran then).
        """
        child = await self._take(task.tenant, task.limits.disk_mb)
        live = self._live[task.key] = _Live(child, task)
        try:
            return await self._run_on(child, live)
        finally:
            if live.timer is not None:
                live.timer.cancel()
            del self._live[task.key]
            self._give_back(child, ended=task.key)

    def kill(self, key: TaskKey, outcome: Outcome) -> None:
        """End a live attempt now, with `outcome` in its report; nothing where it is not live any more."""
        live = self._live.get(key)
        if live is None:
            return
        live.verdict = outcome
        live.child.stop(key)
        self._arm(live, KILL_AFTER_S, lambda live: live.child.kill())

    async def tail(self, key: TaskKey, *, stdout_offset: int, stderr_offset: int, wait_s: float = 0.0) -> TailChunk:
        """Output of a live attempt from these offsets, waiting up to `wait_s` for some; not `known` where not live."""
        deadline = time.monotonic() + wait_s
        while (live := self._live.get(key)) is not None:
            stdout = self._reports.read_live(live.child.box, key, "stdout", stdout_offset, _TAIL_BYTES)
            stderr = self._reports.read_live(live.child.box, key, "stderr", stderr_offset, _TAIL_BYTES)
            if stdout or stderr or time.monotonic() >= deadline:
                return TailChunk(stdout=stdout, stderr=stderr)
            await asyncio.sleep(_TAIL_LOOK_S)
        return TailChunk(known=False, ended=True)

    def release(self, key: TaskKey) -> None:
        """The files of this attempt's report are no longer needed."""
        self._reports.release(key)

    # ---- one attempt

    async def _run_on(self, child: Child, live: _Live) -> RunnerReport:
        task = live.task
        try:
            attempt = await self._prepare(child, task)
        except (InvalidField, TooLarge, OSError) as error:
            message = error.strerror if isinstance(error, OSError) else error.message
            return self._unrun(live, Outcome(kind=OutcomeKind.REJECTED, message=f"inputs: {message}"))
        enforced = self._caps is not None and self._caps.hold(child.number, child.pid, task.milli_cpus)
        live.begun = time.monotonic()
        if live.verdict is None:
            self._arm(live, task.limits.wall_s + KILL_AFTER_S, self._look_at_clock)
        try:
            end = await child.run(attempt)
        except RunnerDied as death:
            return self._reports.of_death(child.box, task, live.verdict, death.how, live.begun, enforced)
        report = self._reports.of_end(child.box, end, live.verdict, enforced)
        if task.inputs or isinstance(task.stdin, Path):
            await asyncio.to_thread(child.box.clear_inputs)
        return report

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

    def _unrun(self, live: _Live, outcome: Outcome) -> RunnerReport:
        attempt, index = live.task.key
        now = time.time()
        return RunnerReport(attempt=attempt, index=index, outcome=outcome, started_at=now, finished_at=now)

    def _arm(self, live: _Live, delay_s: float, act: Callable[[_Live], None]) -> None:
        if live.timer is not None:
            live.timer.cancel()
        live.timer = asyncio.get_running_loop().call_later(delay_s, act, live)

    def _look_at_clock(self, live: _Live) -> None:
        """The attempt's time is over, counted from its frame: but the guest's own counts from its start."""
        limits = live.task.limits
        running = live.child.box.running(live.task.key)
        latest = live.begun + _SETUP_S
        due = min(latest if running is None else running.started, latest) + limits.wall_s + KILL_AFTER_S
        if (left := due - time.monotonic()) > 0:
            self._arm(live, left, self._look_at_clock)
            return
        message = f"ran longer than its limit of {limits.wall_s:g} s, and was in a host call at its end"
        live.verdict = Outcome(kind=OutcomeKind.TIMED_OUT, message=message)
        live.child.kill()

    # ---- the pool

    async def _take(self, tenant: str, disk_mb: int) -> Child:
        for position in range(len(self._idle) - 1, -1, -1):
            child, timer = self._idle[position]
            if child.tenant == tenant and child.disk_mb == disk_mb:
                del self._idle[position]
                timer.cancel()
                if child.usable:
                    child.unused.clear()
                    return child
        if self._spare is not None and self._spare.usable and self._spare.disk_mb == disk_mb:
            child, self._spare = self._spare, None
        else:
            child = await self._start_child(disk_mb)
        child.tenant = tenant
        child.unused.clear()
        self._want_spare()
        return child

    def _give_back(self, child: Child, *, ended: TaskKey) -> None:
        child.unused.set()
        # Not idle: interrupted while its guest ran, or its scratch could not be cleaned.
        if child.usable and not self._closed and child.idle:
            timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, child)
            self._idle.append((child, timer))
            return
        log.debug("runner.ends", pid=child.pid, attempt=ended[0])
        child.kill()
        self._want_spare()

    def _retire(self, child: Child) -> None:
        self._idle = [(other, timer) for other, timer in self._idle if other is not child]
        child.kill()

    def _want_spare(self) -> None:
        if self._closed or self._spare is not None or (self._spare_task is not None and not self._spare_task.done()):
            return
        self._spare_task = asyncio.create_task(self._make_spare())

    async def _make_spare(self) -> None:
        await asyncio.sleep(_SPARE_PAUSE_S)
        with contextlib.suppress(Unavailable, OSError):  # then the next attempt starts its own, and says why it cannot
            self._spare = await self._start_child(self._spare_disk_mb)

    async def _start_child(self, disk_mb: int) -> Child:
        number = self._started
        self._started += 1
        child = await Child.start(self._directory / f"r{number}-{secrets.token_hex(4)}", number, disk_mb)
        self._all.add(child)
        ending = asyncio.create_task(self._outlive(child))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return child

    async def _outlive(self, child: Child) -> None:
        await child.gone()
        self._all.discard(child)
        if self._spare is child:
            self._spare = None  # the next attempt starts one; one that dies by itself is not worth a loop
        if self._caps is not None:
            self._caps.forget(child.number)
        await child.unused.wait()  # its last report still looks into the box
        await asyncio.to_thread(child.box.remove)


def _lay_out(box: Path, task: RunnerTask) -> tuple[Layout, str | None]:
    layout = lay_out(box, task.inputs)
    if not isinstance(task.stdin, Path):
        return layout, None
    shutil.copyfile(task.stdin, box / INPUTS / "stdin")
    (box / INPUTS / "stdin").chmod(0o444)
    return layout, f"{INPUTS}/stdin"
