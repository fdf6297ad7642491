"""Whether this server leads: it takes the leadership where nobody has it, renews it, and follows where another does."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable

import structlog

from wasmgrid.control.following import Following
from wasmgrid.control.leading import STALE_S, Leading
from wasmgrid.core.errors import Superseded, WasmgridError
from wasmgrid.fabric.connection import Fabric
from wasmgrid.store import Store

RENEW_S = 0.5
POLL_S = 0.5
RELEASE_S = 2.0
CUT_OFF_S = 3.0  # without the fabric for so long a leader gives up, where there may be another

log = structlog.get_logger()

MakeLeading = Callable[[int, float, Callable[[], None]], Leading]


class Membership:
    """Leads or follows until `stop`; a failure of the store or of the leader's loop ends a term, never this.

    `make` builds the leader of a term (its number, when it was last ours, what to call where it ends). `alone`: no
    other server can be, so the leadership is taken unasked and need not be renewed; that ends with the first term.
    """

    def __init__(
        self,
        *,
        store: Store,
        fabric: Fabric,
        server_id: str,
        following: Following,
        alone: bool,
        make: MakeLeading,
    ) -> None:
        self.leading: Leading | None = None
        self._store = store
        self._fabric = fabric
        self._server_id = server_id
        self._following = following
        self._alone = alone
        self._make = make
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    async def start(self) -> None:
        """Alone: lead when this returns, or raise why not. Else follow, and lead as soon as nobody else does."""
        led = asyncio.Event()
        self._task = asyncio.create_task(self._run(led), name="membership")
        if not self._alone:
            return
        leads = asyncio.create_task(led.wait())
        await asyncio.wait([leads, self._task], return_when=asyncio.FIRST_COMPLETED)
        leads.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Neither lead nor follow; where this server led, the next may take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, led: asyncio.Event) -> None:
        while True:
            try:
                term, asked_at = await self._win()
                await self._lead(term, asked_at, led)
            except Exception as error:
                if self._alone and not led.is_set():
                    raise
                log.error(
                    "leads no more", exc_info=None if isinstance(error, WasmgridError) else error, error=str(error)
                )
            await asyncio.sleep(POLL_S)

    async def _win(self) -> tuple[int, float]:
        """(term, when it was asked for), as soon as it is to be had; meanwhile this server follows."""
        if self._alone:
            return await self._store.lead(self._server_id), math.inf
        asked_at = time.monotonic()
        term = await self._try()
        if term is not None:
            return term, asked_at
        await self._following.start()
        try:
            while term is None:
                await asyncio.sleep(POLL_S)
                asked_at = time.monotonic()
                term = await self._try()
        finally:
            await self._following.stop()
        return term, asked_at

    async def _try(self) -> int | None:
        if not self._fabric.connected:  # whoever cannot speak to workers leads nobody
            self._say("cannot lead", "there is no connection to the fabric")
            return None
        try:
            term = await self._store.try_lead(self._server_id, stale_s=STALE_S)
        except WasmgridError as error:
            self._say("cannot ask for the leadership", str(error))
            return None
        self._said = ""
        return term

    async def _lead(self, term: int, asked_at: float, led: asyncio.Event) -> None:
        """Lead until the term is over."""
        over = asyncio.Event()
        leading = self._make(term, asked_at, over.set)
        ended = asyncio.create_task(over.wait())
        renewing = asyncio.create_task(self._renew(leading, over), name="renewal")
        starting = asyncio.create_task(leading.start(), name="take-over")
        try:
            await asyncio.wait([starting, ended], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self.leading = leading
                led.set()
            await ended
        finally:
            self.leading = None
            tasks = [starting, renewing, ended]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await leading.stop()
            await self._release(term)
        log.warning("this server leads no more", term=term)

    async def _renew(self, leading: Leading, over: asyncio.Event) -> None:
        """Say again and again that this server leads, until another does, or nobody can be reached from here."""
        connected_at = time.monotonic()
        while not self._alone:
            await asyncio.sleep(RENEW_S)
            asked_at = time.monotonic()
            if self._fabric.connected:
                connected_at = asked_at
            elif asked_at - connected_at > CUT_OFF_S:
                log.warning("cut off from the fabric: another may lead", term=leading.term)
                over.set()
                return
            try:
                async with asyncio.timeout(STALE_S):
                    await self._store.renew_leadership(leading.term)
            except Superseded as error:
                log.warning("superseded", error=error.message)
                over.set()
                return
            except (WasmgridError, TimeoutError) as error:
                self._say("the leadership was not renewed", str(error) or "no answer in time")
            else:
                leading.renewed_at, self._said = asked_at, ""

    async def _release(self, term: int) -> None:
        """Let the next one lead at once."""
        if self._alone:
            return
        with contextlib.suppress(WasmgridError, TimeoutError):  # another leads already, or the store is away
            async with asyncio.timeout(RELEASE_S):
                await self._store.release_leadership(term)

    def _say(self, event: str, error: str) -> None:
        """Log it, unless it was the last thing that was logged."""
        if error != self._said:
            self._said = error
            log.warning(event, error=error)
