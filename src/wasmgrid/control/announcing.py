"""Tells the other servers which jobs changed: hints, several in one message, never waited for."""

from __future__ import annotations

import asyncio

import structlog

from wasmgrid.core import wire
from wasmgrid.core.errors import WasmgridError
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric

GATHER_S = 0.005  # what changes within this time after a message goes out together
PER_MESSAGE = 20_000  # numbers, at most nine bytes each

log = structlog.get_logger()


class Announcer:
    """Gathers changes and publishes them until it is cancelled."""

    def __init__(self, fabric: Fabric, term: int) -> None:
        self._fabric = fabric
        self._term = term
        self._changed: dict[int, bool] = {}
        self._filled = asyncio.Event()

    def note(self, job_id: int, *, finished: bool) -> None:
        """The job changed; `finished`: its end is committed."""
        self._changed[job_id] = finished or self._changed.get(job_id, False)
        self._filled.set()

    async def run(self) -> None:
        """Publish what was noted."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            changed, self._changed = list(self._changed.items()), {}
            for at in range(0, len(changed), PER_MESSAGE):
                await self._publish(changed[at : at + PER_MESSAGE])
            await asyncio.sleep(GATHER_S)

    async def _publish(self, changed: list[tuple[int, bool]]) -> None:
        message = wire.Changes(
            term=self._term,
            jobs=[job_id for job_id, finished in changed if not finished],
            finished=[job_id for job_id, finished in changed if finished],
        )
        try:
            await self._fabric.publish(subjects.changes(), message)
        except WasmgridError as error:  # whoever waits finds it in the store
            log.warning("changes were not told", error=str(error), jobs=len(changed))
