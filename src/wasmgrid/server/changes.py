"""Hearing of a job's changes, with a time-out that loses none of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from wasmgrid.control import Control


class Changes:
    """Changes of one job since somebody last asked; `over` once its end is committed, or there is no such job."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.over = False

    async def wait(self, timeout_s: float) -> bool:
        """Whether there was a change, now or within `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        return self.heard()

    def heard(self) -> bool:
        """Whether there was a change."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    async def run(self, control: Control, job_id: int) -> None:
        """Listen until it is over."""
        async for _ in control.watch(job_id):
            self._changed.set()
        self.over = True
        self._changed.set()


@contextlib.asynccontextmanager
async def changes_of(control: Control, job_id: int) -> AsyncIterator[Changes]:
    """Listen to a job; what happens from here on is heard."""
    changes = Changes()
    task = asyncio.create_task(changes.run(control, job_id), name=f"changes of job {job_id}")
    await asyncio.sleep(0)  # it listens now
    try:
        yield changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
