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
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from wasmgrid import __version__, logs
from wasmgrid.core.errors import WasmgridError
from wasmgrid.server.options import ServeOptions, check, token_of
from wasmgrid.server.starting import Reach, connect_fabric, open_store, start_fabric

if TYPE_CHECKING:  # imported for real when a server starts: together they cost most of a second
    from litestar import Litestar

    from wasmgrid.control import Control
    from wasmgrid.fabric.connection import Fabric
    from wasmgrid.server.admission import Admission
    from wasmgrid.server.listening import ApiServer
    from wasmgrid.server.workerchild import WorkerChild
    from wasmgrid.store import Store

__all__ = ["ServeOptions", "run", "serve"]

STOP_S = 5.0  # an orderly stop takes no longer; past it the process ends as it is
_REAP_EVERY_S = 3600.0
_MAX_UPLOAD_BYTES = 2 << 30
_FAILED = 1
_GC_THRESHOLDS = (20_000, 20, 20)  # a request leaves hardly a cycle behind; looking for some costs its neighbours

log = structlog.get_logger()


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
        from wasmgrid.server.listening import check_host, check_listen, raise_open_file_limit  # noqa: PLC0415

        check(self._options)
        if self._options.listen is None:
            check_host(self._options.host)
        else:
            check_listen(self._options.listen)
        self._home.create()
        raise_open_file_limit()
        with self._home.locked():
            as_json = self._options.log_format == "json"
            logs.configure(self._home.logs / "server.log", verbose=self._options.verbose, json=as_json)
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
        options = self._options
        reach = await start_fabric(options, stack)
        if options.with_worker:
            await self._start_worker(stack)

        from wasmgrid.control import Control  # noqa: PLC0415
        from wasmgrid.fabric.blobserver import BlobServer  # noqa: PLC0415
        from wasmgrid.protocol.state import Settings  # noqa: PLC0415
        from wasmgrid.server.admission import Admission  # noqa: PLC0415

        server_id = f"server-{secrets.token_hex(4)}"
        logs.about(server=server_id)
        store = await open_store(options, stack, self._stop)
        if store is None:
            return
        fabric = await connect_fabric(self._home, reach, server_id, stack, self._stop, self._reconnected)
        if fabric is None:
            return
        blobs = BlobServer(fabric, store.blobs, server_id, max_upload_bytes=_MAX_UPLOAD_BYTES)
        await blobs.start()
        stack.push_async_callback(blobs.stop)
        self._control = Control(
            store=store,
            fabric=fabric,
            server_id=server_id,
            settings=Settings(lease_s=options.lease_s, policy=options.policy),
            alone=options.alone,
        )
        stack.push_async_callback(self._control.stop)
        await self._control.start()
        stack.push_async_callback(self._cancel_tasks)
        admission = Admission(store, nats_url=reach.nats_url, ca=reach.endpoint.ca, door=reach.nats)
        await self._admit(admission)
        await self._start_api(stack, store, self._control, fabric, admission, reach)
        self._spawn(self._reap(store, self._control))
        if options.idle_exit_s is not None:
            self._note_activity()  # a slow start is no idleness
            self._spawn(self._watch_idleness(self._control, options.idle_exit_s))
        gc.freeze()  # what is here now stays: later collections need not look at it
        gc.set_threshold(*_GC_THRESHOLDS)

    async def _admit(self, admission: Admission) -> None:
        """Let in whoever has a credential; where other servers may make some, from now on."""
        try:
            if self._options.nats_credential is not None:
                await admission.know(self._options.nats_credential)
            await admission.apply()
        except WasmgridError as error:
            log.warning("credentials are not brought to NATS yet", error=str(error))
        if not self._options.alone:
            self._spawn(admission.follow())

    async def _start_worker(self, stack: AsyncExitStack) -> None:
        from wasmgrid.server.workerchild import WorkerChild  # noqa: PLC0415

        arguments = [*self._options.worker_arguments, "--log-format", self._options.log_format]
        if self._options.unsandboxed_builds:
            arguments.append("--unsandboxed-builds")
            _say("WARNING: compilers run WITHOUT a sandbox: source submitted here can do what you can do.")
            _say("WARNING: submit your own code only, nobody else's.")
            log.warning("compilers run without a sandbox")
        self._worker = WorkerChild(self._home, arguments)
        stack.push_async_callback(self._worker.stop)
        await self._worker.start()

    async def _start_api(
        self,
        stack: AsyncExitStack,
        store: Store,
        control: Control,
        fabric: Fabric,
        admission: Admission,
        reach: Reach,
    ) -> None:
        """Listen, answer, and only then say where."""
        from wasmgrid.server.app import LOOPBACK, create_app, sessions_of  # noqa: PLC0415
        from wasmgrid.server.dashboard.announcing import announcement  # noqa: PLC0415
        from wasmgrid.server.listening import DEFAULT_PORT, ApiServer, bind, url_of  # noqa: PLC0415

        async def reachable() -> bool:
            return await fabric.reachable(1.0)

        options, certificates = self._options, reach.certificates
        self._app = create_app(
            store=store,
            control=control,
            token=token_of(options),
            home=self._home.path,
            admission=admission,
            allowed_hosts=LOOPBACK | set(options.names),
            on_activity=self._note_activity,
            fabric_reachable=reachable,
        )
        listener = stack.enter_context(bind(options.address, options.port))
        scheme = "http" if certificates is None else "https"
        if certificates is None:
            self._api = ApiServer(self._app)
        else:
            self._api = ApiServer(self._app, certificate=certificates.certificate, key=certificates.key)
        self._spawn(self._serve_api(self._api, listener))  # whoever connects sooner waits in the backlog
        stack.callback(self._home.remove_endpoint)
        url = self._home.write_endpoint(url_of(listener, scheme=scheme)).url
        if options.port is None and urlsplit(url).port != DEFAULT_PORT:
            _say(f"port {DEFAULT_PORT} is taken; this grid listens elsewhere")
        ready_s = time.monotonic() - self._started_at
        log.info("ready", url=url, version=__version__, ready_s=round(ready_s, 2))
        _say(f"grid ready at {url} in {ready_s:.1f} s · home {self._home.path} · stop: Ctrl-C, or wasmgrid down")
        if certificates is not None:
            others = url_of(listener, scheme=scheme, host=options.advertised)
            _say(f"from other machines: {others} · CA: {self._home.tls / 'ca.pem'} · workers: wasmgrid join-command")
        line = await announcement(sessions_of(self._app), url, sys.stderr)
        if line is not None:
            _say(line)

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
        """Let go of what is old, every hour; of several servers the one that leads does."""
        from wasmgrid.store.rows import PrunePolicy  # noqa: PLC0415

        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            if control.leading is None:
                continue
            try:
                report = await store.prune(PrunePolicy())
                await control.modules_pruned()
            except WasmgridError as error:
                log.warning("not pruned", error=str(error))
            else:
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
