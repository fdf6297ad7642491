"""The worker that `up` brings along: a child process that is started again when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence

import structlog

from wasmgrid import leash
from wasmgrid.home import HOME_VARIABLE, Home
from wasmgrid.worker.departure import EXIT_MISMATCH

_STOP_S = 4.0
_FIRST_RESTART_S, _LAST_RESTART_S = 0.2, 10.0
_MEANT_ENDS = frozenset({0, EXIT_MISMATCH})  # it was drained; or the leader is of a version that it cannot work for

log = structlog.get_logger()


class WorkerChild:
    """`python -m wasmgrid.worker` on a leash: it ends with this process, whatever ends that."""

    def __init__(self, home: Home, arguments: Sequence[str]) -> None:
        self._argv = leash.command([sys.executable, "-m", "wasmgrid.worker", "--home", str(home.path), *arguments])
        self._environment = {HOME_VARIABLE: str(home.path)}
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start it, and keep it running from now on, unless it is told to end (`wasmgrid drain`)."""
        self._process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name="worker")

    async def stop(self) -> None:
        """Let it give back what it holds and say goodbye; a kill where that takes longer than four seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            log.warning("the worker did not stop in time and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _keep(self) -> None:
        pause_s = _FIRST_RESTART_S
        loop = asyncio.get_running_loop()
        while self._process is not None:
            started = loop.time()
            status = await self._process.wait()
            if status in _MEANT_ENDS:
                log.warning("the worker ended and stays away; another one: wasmgrid worker", status=status)
                return
            if loop.time() - started > _LAST_RESTART_S:
                pause_s = _FIRST_RESTART_S
            log.error("the worker ended; it is started again", status=status, in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_RESTART_S)
            self._process = await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,  # held open for the leash; nothing is written
            env={**os.environ, **self._environment},
            start_new_session=True,  # a Ctrl-C in the terminal is for the server process, which then stops this one
        )
