"""Which runner an attempt gets: its tenant's own where one is idle, else the spare, else a new one."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path

import structlog

from wasmgrid.core.errors import Unavailable
from wasmgrid.worker.child import Child
from wasmgrid.worker.trees import remove_tree

MAX_IDLE = 8  # runners kept for tenants that may come back; each takes some 30 MB
_SPARE_PAUSE_S = 0.25  # a new spare is started when the attempt that took the last one is likely over

log = structlog.get_logger()


class Pool:
    """Runner processes under `directory`, one box each, on one event loop whose thread starts them.

    A runner serves one tenant, and only attempts with the same `disk_mb`, the size of its scratch. One spare, which has
    no tenant yet, is kept warm; a runner that is idle for `idle_s` ends.
    """

    def __init__(self, directory: Path, *, idle_s: float, spare_disk_mb: int, on_gone: Callable[[Child], None]) -> None:
        """`on_gone` is told of every runner that ended."""
        self._directory = directory
        self._idle_s = idle_s
        self._spare_disk_mb = spare_disk_mb
        self._on_gone = on_gone
        self._spare: Child | None = None
        self._spare_task: asyncio.Task[None] | None = None
        self._idle: list[tuple[Child, asyncio.TimerHandle]] = []
        self._all: set[Child] = set()
        self._starting: set[asyncio.Task[Child]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._started = 0
        self._closed = False

    async def start(self) -> Child:
        """Clear what a former life left, start the spare. Raises `Unavailable`."""
        if self._directory.exists():
            await asyncio.to_thread(remove_tree, self._directory)
        self._directory.mkdir(parents=True, mode=0o711, exist_ok=True)  # what could not be removed is in nobody's way
        self._spare = await self._start_child(self._spare_disk_mb)
        return self._spare

    async def close(self) -> None:
        """Kill every runner and wait for their end."""
        self._closed = True
        if self._spare_task is not None:
            self._spare_task.cancel()
            await asyncio.gather(self._spare_task, return_exceptions=True)
        await asyncio.gather(*self._starting, return_exceptions=True)
        for child in list(self._all):
            child.kill()
        await asyncio.gather(*self._ending, return_exceptions=True)

    @property
    def pids(self) -> list[int]:
        """The processes that live now."""
        return [child.pid for child in self._all]

    @property
    def has_spare(self) -> bool:
        """Whether a runner waits for a tenant that has none."""
        return self._spare is not None and self._spare.usable

    async def take(self, tenant: str, disk_mb: int) -> Child:
        """A runner for an attempt of `tenant`; raises `Unavailable` where none can be started."""
        child = self._take_idle(tenant, disk_mb)
        if child is None:
            if self._spare is not None and self._spare.usable and self._spare.disk_mb == disk_mb:
                child, self._spare = self._spare, None
            else:
                child = await self._start_child(disk_mb)
            child.tenant = tenant
            self._want_spare(_SPARE_PAUSE_S)
        child.unused.clear()
        return child

    def give_back(self, child: Child) -> None:
        """The attempt is over and its report taken."""
        child.unused.set()
        # Not idle: interrupted while its guest ran, or its scratch could not be cleaned.
        if not child.usable or not child.idle or self._closed:
            log.debug("runner.ends", pid=child.pid)
            child.kill()
            self._want_spare(0.0)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, child)
        self._idle.append((child, timer))
        if len(self._idle) > MAX_IDLE:
            self._retire(self._idle[0][0])

    def _take_idle(self, tenant: str, disk_mb: int) -> Child | None:
        for child, timer in reversed(self._idle):
            if child.tenant == tenant and child.disk_mb == disk_mb:
                self._idle.remove((child, timer))
                timer.cancel()
                if child.usable:
                    return child
        return None

    def _retire(self, child: Child) -> None:
        for idle, timer in self._idle:
            if idle is child:
                timer.cancel()
                self._idle.remove((idle, timer))
                break
        child.kill()

    def _want_spare(self, pause_s: float) -> None:
        if self._closed or self._spare is not None or (self._spare_task is not None and not self._spare_task.done()):
            return
        self._spare_task = asyncio.create_task(self._make_spare(pause_s))

    async def _make_spare(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        with contextlib.suppress(Unavailable, OSError):  # then the next attempt starts its own, and says why it cannot
            self._spare = await self._start_child(self._spare_disk_mb)

    async def _start_child(self, disk_mb: int) -> Child:
        starting = asyncio.create_task(self._bring_up(disk_mb))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_turn_away)  # whoever wanted it is gone
            raise

    async def _bring_up(self, disk_mb: int) -> Child:
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
        self._on_gone(child)
        await child.unused.wait()  # its last report still looks into the box
        await asyncio.to_thread(child.box.remove)


def _turn_away(starting: asyncio.Task[Child]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill()
