"""Finds in the store what no notice told the leader: jobs, and wishes to cancel them.

Several servers commit at the same time, and a number is drawn before its row is committed. So no number is ever above
all that will come: the sweep walks over all unfinished jobs, round after round, a bounded piece of them at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

import structlog

from wasmgrid.core.errors import WasmgridError
from wasmgrid.store import Store, rows

EVERY_S = 1.0
PIECE = 5000  # numbers looked at in one go: all of them, on most days
PAGE = 1000  # jobs taken up in one go
GAP = 16  # numbers this near to each other are asked for together

log = structlog.get_logger()


class Sweep:
    """Takes up jobs of the store. `knows` says which the leader has or has ended; `arrive` gets the others.

    `old` jobs were there at the take-over, so that a worker may hold their tasks.
    """

    def __init__(
        self,
        store: Store,
        *,
        knows: Callable[[int], bool],
        arrive: Callable[[rows.OpenJob, bool], None],
        cancel: Callable[[int], None],
    ) -> None:
        self._store = store
        self._knows = knows
        self._arrive = arrive
        self._cancel = cancel
        self._hinted: set[int] = set()
        self._filled = asyncio.Event()
        self._highest = 0
        self._loaded_to = 0
        self._at = 0

    async def load(self) -> None:
        """Take up everything, before the leader says its first word."""
        while True:
            page = await self._store.unfinished(after_id=self._highest, limit=PAGE)
            for job in page:
                self._highest = self._loaded_to = job.id
                self._arrive(job, True)
            if len(page) < PAGE:
                return

    def hint(self, job_ids: Iterable[int]) -> None:
        """These are committed, says the server that took them."""
        self._hinted.update(job_ids)
        self._filled.set()

    async def run(self) -> None:
        """Follow hints at once, and look through the store every second."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._filled.wait()
            self._filled.clear()
            hinted, self._hinted = self._hinted, set()
            is_due = loop.time() >= due
            if is_due:
                due = loop.time() + EVERY_S
            try:
                await self._take_up(sorted(hinted))
                if is_due:
                    await self._look()
            except WasmgridError as error:
                log.warning("the sweep could not read the store", error=str(error))

    async def _look(self) -> None:
        """At the next piece of all unfinished jobs, and at the newest where they are not in it."""
        piece = await self._store.open_ids(after_id=self._at, limit=PIECE)
        self._at = piece[-1][0] if len(piece) == PIECE else 0
        if self._at:
            piece += await self._store.open_ids(after_id=max(self._highest, self._at), limit=PIECE)
        await self._take_up([job_id for job_id, _ in piece])
        for job_id, cancel in piece:
            if cancel:
                self._cancel(job_id)

    async def _take_up(self, job_ids: list[int]) -> None:
        for first, last in _spans([job_id for job_id in job_ids if not self._knows(job_id)]):
            for job in await self._store.unfinished(after_id=first - 1, limit=last - first + 1):
                self._highest = max(self._highest, job.id)
                if not self._knows(job.id):
                    self._arrive(job, job.id <= self._loaded_to)


def _spans(job_ids: list[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of numbers that are near to each other, in order."""
    at = 0
    while at < len(job_ids):
        first = last = job_ids[at]
        while at < len(job_ids) and job_ids[at] - last <= GAP and job_ids[at] - first < PAGE:
            last = job_ids[at]
            at += 1
        yield first, last
