"""One server process, put together: home, fabric, store, leader, API and, for `up`, a worker."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from wasmgrid import __version__, logs
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import FabricEndpoint, Home

if TYPE_CHECKING:  # imported for real when a server starts: together they cost most of a second
    from litestar import Litestar

    from wasmgrid.control import Control
    from wasmgrid.fabric.connection import Fabric
    from wasmgrid.server.listening import ApiServer
    from wasmgrid.server.workerchild import WorkerChild
    from wasmgrid.store import Store

STOP_S = 5.0  # an orderly stop takes no longer; past it the process ends as it is
_FABRIC_S = 10.0
_REAP_EVERY_S = 3600.0
_MAX_UPLOAD_BYTES = 2 << 30
_FAILED = 1

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What `wasmgrid up` and `wasmgrid server` were asked for.

    `port` None: 3030, or a free one where that is taken. `nats_url`: an existing fabric (several comma-separated), with
    its credential where it wants one. `idle_exit_s`: stop after so long without unfinished jobs and requests.
    `worker_arguments` go to the worker as they are. `verbose`: the whole log on stderr, not warnings alone.
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
    import uvloop  # noqa: PLC0415

    return uvloop.run(serve(options))


async def serve(options: ServeOptions) -> int:
    """Run a server until a signal, idleness or a failure ends it; its exit code.

    Raises `HomeInUse`, `InvalidField`, `Unavailable`, `Unreachable` where it cannot start; nothing runs on then.
    """
    return await _Process(options).run()


class _Process:
    """The parts of one server and the reasons to stop it."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._home = options.home
        self._started_at = time.monotonic()
        self._active_at = self._started_at
        self._stop = asyncio.Event()
        self._exit_code = 0
        self._worker: WorkerChild | None = None
        self._control: Control | None = None
        self._api: ApiServer | None = None
        self._app: Litestar | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        from wasmgrid.server.listening import check_host, raise_open_file_limit  # noqa: PLC0415

        check_host(self._options.host)
        self._home.create()
        raise_open_file_limit()
        with self._home.locked():
            logs.configure(self._home.logs / "server.log", verbose=self._options.verbose)
            self._listen_to_signals()
            async with AsyncExitStack() as stack:
                await self._start(stack)
                await self._stop.wait()
                _end_by_force_after(STOP_S)
                await self._stop_edges()
        log.info("stopped", exit_code=self._exit_code)
        return self._exit_code

    # -- start and stop --------------------------------------------------------------------------------------------

    async def _start(self, stack: AsyncExitStack) -> None:
        """Start everything; `stack` undoes it. The worker comes early, to start up beside our own imports."""
        endpoint = await self._fabric_endpoint(stack)
        if self._options.with_worker:
            await self._start_worker(stack)

        from wasmgrid.control import Control  # noqa: PLC0415
        from wasmgrid.fabric.blobserver import BlobServer  # noqa: PLC0415
        from wasmgrid.fabric.connection import Fabric  # noqa: PLC0415
        from wasmgrid.store import Store  # noqa: PLC0415

        server_id = f"server-{secrets.token_hex(4)}"
        store = await Store.open(self._home.path)
        stack.push_async_callback(store.close)
        fabric = await Fabric.connect(
            lambda: self._home.fabric() or endpoint,
            name=server_id,
            on_reconnect=self._reconnected,
            wait_s=_FABRIC_S,
        )
        stack.push_async_callback(fabric.close)
        blobs = BlobServer(fabric, store.blobs, server_id, max_upload_bytes=_MAX_UPLOAD_BYTES)
        await blobs.start()
        stack.push_async_callback(blobs.stop)
        self._control = Control(store=store, fabric=fabric, server_id=server_id)
        stack.push_async_callback(self._control.stop)
        await self._control.start()
        stack.push_async_callback(self._cancel_tasks)
        await self._start_api(stack, store, self._control, fabric)
        self._spawn(self._watch_leadership(self._control))
        self._spawn(self._reap(store, self._control))
        if self._options.idle_exit_s is not None:
            self._note_activity()  # a slow start is no idleness
            self._spawn(self._watch_idleness(self._control, self._options.idle_exit_s))
        gc.freeze()  # what is here now stays: later collections need not look at it

    async def _fabric_endpoint(self, stack: AsyncExitStack) -> FabricEndpoint:
        """The fabric that was named, else our own nats-server. It is in fabric.json when this returns."""
        if self._options.nats_url is not None:
            endpoint = FabricEndpoint.parse(self._options.nats_url)
            self._home.write_fabric(endpoint)
            return endpoint
        from wasmgrid.fabric.embedded import EmbeddedNats  # noqa: PLC0415

        nats = EmbeddedNats(self._home)
        stack.push_async_callback(nats.stop)
        return await nats.start()

    async def _start_worker(self, stack: AsyncExitStack) -> None:
        from wasmgrid.server.workerchild import WorkerChild  # noqa: PLC0415

        arguments = list(self._options.worker_arguments)
        if self._options.unsandboxed_builds:
            arguments.append("--unsandboxed-builds")
            _say("WARNING: compilers run WITHOUT a sandbox: source submitted here can do what you can do.")
            _say("WARNING: submit your own code only, nobody else's.")
            log.warning("compilers run without a sandbox")
        self._worker = WorkerChild(self._home, arguments)
        stack.push_async_callback(self._worker.stop)
        await self._worker.start()

    async def _start_api(self, stack: AsyncExitStack, store: Store, control: Control, fabric: Fabric) -> None:
        """Listen, answer, and only then say where."""
        from wasmgrid.server.app import create_app  # noqa: PLC0415
        from wasmgrid.server.listening import DEFAULT_PORT, ApiServer, bind, url_of  # noqa: PLC0415

        async def reachable() -> bool:
            return await fabric.reachable(1.0)

        self._app = create_app(
            store=store,
            control=control,
            token=self._home.ensure_token(),
            home=self._home.path,
            on_activity=self._note_activity,
            fabric_reachable=reachable,
        )
        listener = stack.enter_context(bind(self._options.host, self._options.port))
        self._api = ApiServer(self._app)
        self._spawn(self._serve_api(self._api, listener))  # whoever connects sooner waits in the backlog
        stack.callback(self._home.remove_endpoint)
        url = self._home.write_endpoint(url_of(listener)).url
        if self._options.port is None and urlsplit(url).port != DEFAULT_PORT:
            _say(f"port {DEFAULT_PORT} is taken; this grid listens elsewhere")
        ready_s = time.monotonic() - self._started_at
        log.info("ready", url=url, version=__version__, ready_s=round(ready_s, 2))
        _say(f"grid ready at {url} in {ready_s:.1f} s · home {self._home.path} · stop: Ctrl-C, or wasmgrid down")

    async def _stop_edges(self) -> None:
        """No more requests and no more work, both at once; the leader still hears the worker's last words."""
        from wasmgrid.server.app import end_streams  # noqa: PLC0415

        self._home.remove_endpoint()
        if self._control is not None:
            self._control.release()
        if self._app is not None:
            end_streams(self._app)
        stops: list[Coroutine[Any, Any, None]] = []
        if self._api is not None:
            stops.append(self._api.stop())
        if self._worker is not None:
            stops.append(self._worker.stop())
        await asyncio.gather(*stops)

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- reasons to stop -------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        """The first asks for an orderly stop, the second ends the process at once; its children are on leashes."""

        def hear(number: int) -> None:
            if self._stop.is_set():
                self._home.remove_endpoint()
                os._exit(128 + number)
            log.info("stopping", signal=signal.Signals(number).name)
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, hear, number)

    def _fail(self, event: str, **details: object) -> None:
        log.error(event, **details)
        self._exit_code = _FAILED
        self._stop.set()

    async def _serve_api(self, api: ApiServer, listener: socket.socket) -> None:
        await api.serve_on(listener)
        if not self._stop.is_set():
            self._fail("the API ended by itself")

    async def _watch_leadership(self, control: Control) -> None:
        await control.superseded.wait()
        self._fail("this server leads no more: another took over, or its loop failed")

    async def _watch_idleness(self, control: Control, idle_exit_s: float) -> None:
        while not self._stop.is_set():
            if control.unfinished or (self._api is not None and self._api.busy):
                self._note_activity()
            idle_s = time.monotonic() - self._active_at
            if idle_s >= idle_exit_s:
                log.info("idle; stopping", idle_s=round(idle_s))
                self._stop.set()
            await asyncio.sleep(min(1.0, max(idle_exit_s - idle_s, 0.01)))

    def _note_activity(self) -> None:
        self._active_at = time.monotonic()

    # -- what goes on ----------------------------------------------------------------------------------------------

    async def _reconnected(self) -> None:
        if self._control is not None:
            await self._control.reconnected()

    async def _reap(self, store: Store, control: Control) -> None:
        """Let go of what is old, every hour."""
        from wasmgrid.store.rows import PrunePolicy  # noqa: PLC0415

        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            try:
                report = await store.prune(PrunePolicy())
            except WasmgridError as error:
                log.warning("not pruned", error=str(error))
            else:
                control.modules_pruned()
                log.info("pruned", report=report)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it until the stop; where it fails, the server does."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._fail("a part of the server failed", exc_info=error)

        task = asyncio.create_task(coroutine)
        task.add_done_callback(ended)
        self._tasks.append(task)


def _end_by_force_after(seconds: float) -> None:
    """A stop that hangs, for whatever reason, is over by then; children on leashes end with us."""
    timer = threading.Timer(seconds, os._exit, (_FAILED,))
    timer.daemon = True
    timer.start()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
