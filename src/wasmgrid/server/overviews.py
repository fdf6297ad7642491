"""The whole grid at one glance, asked for by many and put together once: half from the leader, half from the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

from wasmgrid import __version__
from wasmgrid.control import Control
from wasmgrid.control.meter import POINTS, STEP_S
from wasmgrid.core.errors import TimedOutWaiting, Unavailable, WasmgridError
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.overview import LeaderOverview, Overview
from wasmgrid.server.sse import KEEP_ALIVE, event
from wasmgrid.store import Store

FRESH_S = 0.5  # whoever asks within it gets the same
COUNT_SHARE = 0.05  # of a reader's time that goes into counting jobs: of a million they are counted every few seconds
LOST = timedelta(hours=1)


class Overviews:
    """One per application."""

    def __init__(self, store: Store, control: Control, tenant: str) -> None:
        self._store = store
        self._control = control
        self._tenant = tenant
        self._kept: dict[int, tuple[float, Overview | WasmgridError]] = {}  # by points
        self._turn = asyncio.Lock()
        self._counts: dict[JobState, int] = {}
        self._counts_until = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def get(self, points: int = POINTS) -> Overview:
        """As it is now, to half a second; its series has so many of the newest points."""
        async with self._turn:
            until, overview = self._kept.get(points, (0.0, None))
            if overview is None or time.monotonic() > until:
                try:
                    overview = await self._put_together(points)
                except WasmgridError as error:  # who waited for their turn hear the same: nobody waits twice
                    overview = error
                self._kept[points] = time.monotonic() + FRESH_S, overview
            if isinstance(overview, WasmgridError):
                raise overview
            return overview

    async def events(self) -> AsyncIterator[bytes]:
        """Event `overview` at every step, its series the newest point alone."""
        while True:
            try:
                yield event("overview", await self.get(1))
            except (Unavailable, TimedOutWaiting):  # nobody leads, or the store is away: it goes on after that
                yield KEEP_ALIVE
            await asyncio.sleep(STEP_S)

    async def job_counts(self) -> dict[JobState, int]:
        """Jobs by the state that is kept of them, as they were counted last."""
        if self._counting is None and time.monotonic() > self._counts_until:
            self._counting = asyncio.create_task(self._count(), name="count of jobs")
            self._counting.add_done_callback(self._counted)
        if self._counting is not None and not self._counts:
            await asyncio.shield(self._counting)  # there is nothing to show yet
        elif self._counting is not None:
            await asyncio.wait([self._counting], timeout=FRESH_S)  # of few jobs: as they are now
        return self._counts

    def _counted(self, task: asyncio.Task[None]) -> None:
        self._counting = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; it is counted again at the next question

    async def _count(self) -> None:
        began = time.monotonic()
        self._counts = await self._store.jobs_by_state(self._tenant) or {JobState.SUCCEEDED: 0}
        ended = time.monotonic()
        self._counts_until = ended + (ended - began) / COUNT_SHARE

    async def _put_together(self, points: int) -> Overview:
        leader = await self._control.overview(points)
        lost = await self._store.workers_lost(LOST)
        return Overview(
            now=round(time.time(), 3),
            version=__version__,
            jobs=_jobs(await self.job_counts(), leader),
            queue=leader.queue,
            workers=msgspec.structs.replace(leader.workers, lost=lost),
            success_rate=leader.success_rate,
            builds=leader.builds,
            series=leader.series,
        )


def _jobs(kept: dict[JobState, int], leader: LeaderOverview) -> dict[str, int]:
    """Every state with its count. What runs is kept as queued, and counted a moment later than the rest."""
    counts = {str(state): kept.get(state, 0) for state in JobState}
    counts[JobState.RUNNING] = leader.running_jobs
    counts[JobState.QUEUED] = max(0, counts[JobState.QUEUED] - leader.running_jobs)
    return counts
