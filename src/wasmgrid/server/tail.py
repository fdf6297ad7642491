"""Live output, pulled once per task and fanned out: however many follow a log, its worker is asked by one.

Offsets are the truth: a follower says where it is, and gets what comes after that from the window that all share, from
the worker (it is far behind), or from the store (the task has ended). So nobody's slowness is anybody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from wasmgrid.control import Control
from wasmgrid.core.errors import WasmgridError
from wasmgrid.protocol.events import LiveTask
from wasmgrid.server.changes import changes_of
from wasmgrid.server.log_frames import FRAME_BYTES, Offsets, frame

WINDOW_BYTES = 256 * 1024
PULL_S = 5.0  # how long the worker may wait for output before it answers that there is none
Ended = Callable[[], Awaitable[bool]]

RETRY_S = 1.0  # a task whose worker did not answer is asked again


@dataclass
class Window:
    """The newest bytes of one stream: `data` begins at offset `base`."""

    data: bytearray = field(default_factory=bytearray)
    base: int = 0

    @property
    def end(self) -> int:
        """The offset after the newest byte."""
        return self.base + len(self.data)

    def add(self, data: bytes) -> None:
        """Append, and let the oldest go."""
        self.data += data
        excess = len(self.data) - WINDOW_BYTES
        if excess > 0:
            del self.data[:excess]
            self.base += excess

    def after(self, offset: int) -> bytes:
        """At most a frame from `offset` on, which is not before `base`."""
        at = offset - self.base
        return bytes(self.data[at : at + FRAME_BYTES])


class Tail:
    """What one task prints while it lives. `attempt` is whose output it is; another attempt begins at 0 again."""

    def __init__(self, control: Control, job_id: int, index: int, ended: Ended | None) -> None:
        self._control = control
        self._job_id = job_id
        self._index = index
        self._ended = ended
        self._out, self._err = Window(), Window()
        self._frames: dict[Offsets, tuple[bytes, Offsets]] = {}  # made once for all who are at the same place
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._live: LiveTask | None = None
        self.attempt = 0
        self.over = False  # nothing more will come: the store has the rest
        self.followers = 0

    def start(self) -> None:
        """Pull until the task ends or `stop`."""
        self._task = asyncio.create_task(self._pull(), name=f"tail of job {self._job_id}")

    async def stop(self) -> None:
        """Nobody follows any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def change(self, timeout_s: float) -> bool:
        """Whether anything new came within `timeout_s`."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        return changed.is_set()

    async def next(self, offsets: Offsets) -> tuple[bytes, Offsets]:
        """(events with what comes after `offsets`, the offsets after that); no bytes where there is nothing yet."""
        if offsets[0] < self._out.base or offsets[1] < self._err.base:
            return await self._behind(offsets)
        known = self._frames.get(offsets)
        if known is None:
            known = frame(self.attempt, offsets, self._out.after(offsets[0]), self._err.after(offsets[1]))
            self._frames[offsets] = known
        return known

    async def _behind(self, offsets: Offsets) -> tuple[bytes, Offsets]:
        """Output that has left the window, from the worker itself."""
        task, attempt = self._live, self.attempt
        if task is None:
            return b"", offsets
        try:
            chunk = await self._control.tail(task, stdout_offset=offsets[0], stderr_offset=offsets[1], wait_s=0.0)
        except WasmgridError:
            chunk = None
        if chunk is None or attempt != self.attempt:
            return b"", offsets
        return frame(attempt, offsets, chunk.stdout, chunk.stderr)

    async def _pull(self) -> None:
        """Until the job is over; a take-over, or a store that is away, is waited out."""
        try:
            async with changes_of(self._control, self._job_id) as changes:
                task: LiveTask | None = None
                while not changes.over and not (self._ended is not None and await self._has_ended()):
                    if changes.heard() or task is None:
                        task = await self._running()
                    if task is None or not await self._pull_from(task):
                        task = None
                        await changes.wait(RETRY_S)
        finally:
            self.over = True
            self._notify()

    async def _has_ended(self) -> bool:
        """Whether the task has its result, though others of its job go on."""
        try:
            return self._ended is not None and await self._ended()
        except WasmgridError:
            return False

    async def _running(self) -> LiveTask | None:
        """The attempt that runs now."""
        try:
            live = await self._control.live(self._job_id)
        except WasmgridError:
            return None
        return next((task for task in live.tasks if task.index == self._index), None) if live is not None else None

    async def _pull_from(self, task: LiveTask) -> bool:
        """Pull once; whether there may be more of this attempt."""
        if task.attempt != self.attempt:
            self.attempt, self._out, self._err = task.attempt, Window(), Window()
            self._notify()
        self._live = task
        out, err = self._out, self._err
        try:
            chunk = await self._control.tail(task, stdout_offset=out.end, stderr_offset=err.end, wait_s=PULL_S)
        except WasmgridError:
            chunk = None
        if chunk is None:
            return False
        out.add(chunk.stdout)
        err.add(chunk.stderr)
        if chunk.stdout or chunk.stderr:
            self._notify()
        return not chunk.ended

    def _notify(self) -> None:
        self._frames.clear()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Tails:
    """The tails of all tasks that someone follows."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._tails: dict[tuple[int, int], Tail] = {}

    @contextlib.asynccontextmanager
    async def follow(self, job_id: int, index: int, ended: Ended | None = None) -> AsyncIterator[Tail]:
        """The task's tail, for as long as this follower stays. `ended`: of a job of several, whether this one has."""
        key = job_id, index
        tail = self._tails.get(key)
        if tail is None or tail.over:
            tail = self._tails[key] = Tail(self._control, job_id, index, ended)
            tail.start()
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if tail.followers == 0:
                if self._tails.get(key) is tail:
                    del self._tails[key]
                await tail.stop()
