"""One server process, put together: home, fabric, store, leader, API and, for `up`, a worker. Stopped in reverse order."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import structlog

from wasmgrid import logs
from wasmgrid.core.errors import InvalidField, WasmgridError
from wasmgrid.home import FabricEndpoint, Home

STOP_S = 5.0  # an orderly stop takes no longer; then the process ends as it is
_FABRIC_S = 10.0
_REAP_EVERY_S = 3600.0
_MAX_UPLOAD_BYTES = 2 << 30
_SUPERSEDED = 1

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What `wasmgrid up` and `wasmgrid server` were asked for.

    `port` None: 3030, or a free one where that is taken. `nats_url`: an existing fabric, with a credential in it where
    one is needed. `idle_exit_s`: stop after so long without unfinished jobs and requests. `worker_arguments` are handed
    to the worker as they are.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int | None = None
    nats_url: str | None = None
    with_worker: bool = True
    idle_exit_s: float | None = None
    unsandboxed_builds: bool = False
    worker_arguments: tuple[str, ...] = ()
    verbose: bool = False


def run(options: ServeOptions) -> int:
    """`serve` in a loop of its own; the exit code of the process."""
    import uvloop  # noqa: PLC0415 -- heavy imports wait until a server is really meant to run

    return uvloop.run(serve(options))


async def serve(options: ServeOptions) -> int:
    """Run a server until it is told to stop; its exit code.

    Raises `HomeInUse`, `InvalidField`, `Unavailable` and the like where it cannot start; nothing is left running then.
    """
    return await _Process(options).run()


class _Process:
    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._home = options.home
        self._started = time.monotonic()
        self._active = self._started
        self._stop = asyncio.Event()
        self._stopping = False
        self._exit_code = 0

    async def run(self) -> int:
        from wasmgrid.server.listening import check_host, raise_open_file_limit  # noqa: PLC0415

        check_host(self._options.host)
        self._home.create()
        raise_open_file_limit()
        with self._home.locked():
            logs.configure(self._home.logs / "server.log", verbose=self._options.verbose)
            self._watch_signals()
            try:
                async with AsyncExitStack() as stack:
                    stack.callback(self._bound_the_stop)  # unwound first only if nothing else was started
                    await self._start(stack)
                    await self._stop.wait()
                    self._bound_the_stop()
            finally:
                self._home.remove_endpoint()
        return self._exit_code

    async def _start(self, stack: AsyncExitStack) -> None:
        """Everything in its order; `stack` undoes it. The worker comes early: it starts up beside our own imports."""
        endpoint = await self._fabric_endpoint(stack)
        worker = await self._start_worker()
        if worker is not None:
            stack.push_async_callback(worker.stop)
