"""Two machines with one credential: the lock of a directory does not reach across them, so ids are claimed aloud too.

Workers of a credential hear each other on a subject that is theirs alone. Who claims an id that another has takes the
next one; of two that claim it at once, one does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from wasmgrid.core import wire
from wasmgrid.core.errors import Unreachable
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.worker.joining import IdTaken

AGAIN_S = 0.2
LISTEN_S = 0.5  # how long a worker waits for one that has the id already


class Claim:
    """One worker's claim to its id. `on_displaced` is told where an older claim is heard only after `settle`."""

    def __init__(
        self,
        fabric: Fabric,
        worker_id: str,
        incarnation: str,
        place: str,
        *,
        on_displaced: Callable[[str], None],
    ) -> None:
        """`place` is for people: where this worker is."""
        self._fabric = fabric
        self._subject = subjects.claims(worker_id)
        self._worker_id = worker_id
        self._incarnation = incarnation
        self._place = place
        self._on_displaced = on_displaced
        self._settled_at: float | None = None
        self._rival: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def settle(self) -> None:
        """Claim the id and wait for who objects; raises `IdTaken`."""
        await self._fabric.serve(self._subject, self._hear)
        await self._say()
        try:
            async with asyncio.timeout(LISTEN_S):
                place = await asyncio.shield(self._rival)
        except TimeoutError:
            self._settled_at = time.monotonic()
            return
        raise IdTaken(
            f"the worker {self._worker_id} runs already, at {place}",
            hint="leave --id out to get the next number under this credential",
        )

    async def _say(self) -> None:
        while True:
            try:
                await self._fabric.publish(self._subject, self._said())
            except Unreachable:  # lost just now; it comes back
                await asyncio.sleep(AGAIN_S)
            else:
                return

    def _said(self) -> wire.Claim:
        """Ages, not times: the clocks of two machines are not compared."""
        age_s = 0.0 if self._settled_at is None else time.monotonic() - self._settled_at
        return wire.Claim(worker_id=self._worker_id, incarnation=self._incarnation, place=self._place, age_s=age_s)

    async def _hear(self, message: wire.Message, _reply: str) -> None:
        if not isinstance(message, wire.Claim) or message.incarnation == self._incarnation:
            return
        mine = self._said()
        if (-mine.age_s, mine.incarnation) < (-message.age_s, message.incarnation):
            await self._fabric.publish(self._subject, mine)
        elif self._settled_at is not None:
            self._on_displaced(message.place)
        elif not self._rival.done():
            self._rival.set_result(message.place)
