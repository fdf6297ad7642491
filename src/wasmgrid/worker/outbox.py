"""What a worker says to its leader: in order, and results that wait together travel together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import structlog

from wasmgrid.core import wire
from wasmgrid.core.errors import TimedOutWaiting, Unreachable, WasmgridError
from wasmgrid.fabric.connection import Fabric

_TOGETHER_BYTES = wire.FRAME_BYTES // 2

log = structlog.get_logger()


class Outbox:
    """One sender, so that words keep their order. What cannot be sent is told again or settled by inventories."""

    def __init__(self, fabric: Fabric, subject: str) -> None:
        self._fabric = fabric
        self._subject = subject
        self._waiting: deque[wire.Message] = deque()
        self._some = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()

    def put(self, message: wire.Message) -> None:
        """Send this after what was said before."""
        self._waiting.append(message)
        self._sent.clear()
        self._some.set()

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        while True:
            await self._some.wait()
            while self._waiting:
                await self._send(self._next())
            self._some.clear()
            self._sent.set()

    async def sent(self, within_s: float) -> None:
        """Wait until nothing waits any more, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._sent.wait()

    def _next(self) -> wire.Message:
        message = self._waiting.popleft()
        if not isinstance(message, wire.Results) or not self._waiting:
            return message
        together, weight = [message], _weight(message)
        while self._waiting and isinstance(following := self._waiting[0], wire.Results):
            weight += _weight(following)
            if weight > _TOGETHER_BYTES:
                break
            self._waiting.popleft()
            together.append(following)
        return _joined(together)

    async def _send(self, message: wire.Message) -> None:
        try:
            await self._fabric.publish(self._subject, message)
        except (Unreachable, TimedOutWaiting):
            pass
        except WasmgridError as error:
            log.error("not said", error=str(error), message=type(message).__name__)


def _joined(said: list[wire.Results]) -> wire.Results:
    if len(said) == 1:
        return said[0]
    return wire.Results(
        worker_id=said[0].worker_id,
        incarnation=said[0].incarnation,
        tasks=[task for one in said for task in one.tasks],
        ranges=[part for one in said for part in one.ranges],
        builds=[build for one in said for build in one.builds],
    )


def _weight(said: wire.Results) -> int:
    """About how many bytes it is."""
    tasks = sum(1024 + len(one.stdout.data) + len(one.stderr.data) for one in said.tasks)
    ranges = sum(1024 + len(one.values) for one in said.ranges)
    return tasks + ranges + sum(4096 + len(one.diagnostics) for one in said.builds)
