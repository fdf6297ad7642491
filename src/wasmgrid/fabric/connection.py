"""One connection to the fabric, which comes back for as long as it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from wasmgrid.core import wire
from wasmgrid.core.errors import TimedOutWaiting, TooLarge, Unreachable, WasmgridError
from wasmgrid.fabric import subjects, versions
from wasmgrid.fabric.inbox import Inbox, nobody
from wasmgrid.fabric.link import close_link, open_any
from wasmgrid.fabric.subscription import Accept, Handler, Subscription
from wasmgrid.home import FabricEndpoint

Notice = Callable[[], Awaitable[None]]

_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0
_FIRST_PATIENCE_S, _LAST_PATIENCE_S = 1.5, 5.0  # with one server, before the next is tried
_PROBE_EVERY_S, _PROBE_WAIT_S, _PROBE_MISSES = 1.0, 2.0, 2  # a server that hangs is left after 5 s at most
_RESTART_S = 4.0  # a grid that is started again is there by then
_MAX_UNSENT_BYTES = 16 << 20  # beyond it, publish waits for the socket

log = structlog.get_logger()


class Fabric:
    """Publish, ask and serve. At most once: what was on its way when a connection broke may be lost.

    While there is no connection, `publish` and `request` raise `Unreachable` at once, nothing is kept for later.
    Served subjects are subscribed again on every new connection, before `on_reconnect` is called.
    """

    def __init__(
        self,
        endpoint: Callable[[], FabricEndpoint],
        *,
        name: str,
        on_reconnect: Notice | None,
        on_disconnect: Notice | None,
        on_mismatch: Callable[[str], None] | None = None,
        on_waiting: Callable[[str], None] | None = None,
        inbox: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._on_reconnect = on_reconnect
        self._on_disconnect = on_disconnect
        self._on_mismatch = on_mismatch
        self._on_waiting = on_waiting
        self._server: str | None = None
        self._client: Client | None = None
        self._first = asyncio.Event()
        self._last_failure = self._told = ""
        self._subscriptions: list[Subscription] = []
        self._inbox = Inbox(inbox)
        self._notices: set[asyncio.Task[None]] = set()
        self._closings: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        endpoint: FabricEndpoint | Callable[[], FabricEndpoint],
        *,
        name: str,
        on_reconnect: Notice | None = None,
        on_disconnect: Notice | None = None,
        on_mismatch: Callable[[str], None] | None = None,
        on_waiting: Callable[[str], None] | None = None,
        inbox: str | None = None,
        wait_s: float | None = None,
    ) -> Fabric:
        """Connect, and from then on reconnect for ever, asking `endpoint` anew each time where it is a function.

        `inbox`: the name of the worker's credential, which may have answers to itself alone. `on_mismatch` is told, in
        words for a person, when a message of another protocol version comes in; `on_waiting`, once for each reason, why
        there is no connection (where there was one, only after as long as a restart takes). `wait_s` bounds the first
        connection (`Unreachable`, with the reason); None tries for ever.
        """
        fabric = cls(
            endpoint if callable(endpoint) else lambda: endpoint,
            name=name,
            on_reconnect=on_reconnect,
            on_disconnect=on_disconnect,
            on_mismatch=on_mismatch,
            on_waiting=on_waiting,
            inbox=inbox,
        )
        fabric._supervisor = asyncio.create_task(fabric._supervise(), name=f"fabric {name}")
        try:
            async with asyncio.timeout(wait_s):
                await fabric._first.wait()
        except BaseException as error:
            await fabric.close()
            if isinstance(error, TimeoutError):
                raise Unreachable(f"no connection within {wait_s:g} s: {fabric._last_failure}") from None
            raise
        return fabric

    @property
    def connected(self) -> bool:
        """Whether there is a connection now, as far as this side knows."""
        return self._client is not None

    @property
    def server(self) -> str | None:
        """The server that it is connected to, or was last."""
        return self._server

    async def close(self) -> None:
        """Stop serving and leave; whoever still waits for an answer gets `TimedOutWaiting`."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        for subscription in self._subscriptions:
            await subscription.stop()
        for notice in list(self._notices):
            notice.cancel()
        await asyncio.gather(*self._notices, *self._closings, return_exceptions=True)

    async def publish(self, subject: str, message: wire.Message, *, reply: str = "") -> None:
        """Send and forget. Raises `Unreachable` without a connection, `TooLarge` over the server's payload limit."""
        await self._send(subject, wire.encode(message), reply)

    async def answer(self, reply: str, message: wire.Message) -> None:
        """Answer a question; nothing where `reply` is no inbox: a question may name any subject for its answer."""
        if reply.startswith(f"{subjects.INBOX}."):
            await self._send(reply, wire.encode(message), "")

    async def post(self, subject: str, message: wire.Message, *, unheard: Callable[[], None]) -> None:
        """`publish`, and `unheard` is called, soon, where nobody serves `subject`."""
        await self._send(subject, wire.encode(message), self._inbox.posted(unheard))

    async def request(self, subject: str, message: wire.Message, *, timeout_s: float) -> wire.Message:
        """Ask one of those who serve `subject`.

        `Unreachable`: nobody serves it, or there is no connection; nothing was done. `TimedOutWaiting`: no answer came
        (also when the connection broke meanwhile); it may have been done. `ProtocolMismatch`: an answer that is none.
        """
        answer = await self._ask(subject, wire.encode(message), timeout_s)
        if nobody(answer):
            raise Unreachable(f"nobody serves {subject}")
        return wire.decode(answer.data)

    async def serve(
        self,
        subject: str,
        handler: Handler,
        *,
        queue: str = "",
        concurrency: int = 1024,
        accept: Accept | None = None,
    ) -> Subscription:
        """Answer what comes to `subject` (shared with others of the same `queue`); see `Subscription`.

        `accept` is asked about each message with the subject that it came to, and says why it goes no further.
        When this returns, a request from anywhere reaches it; without a connection, it does once there is one.
        """
        subscription = Subscription(
            subject, queue, handler, self.answer, concurrency, accept=accept, foreign=self._on_foreign
        )
        self._subscriptions.append(subscription)
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error, OSError):  # lost just now: the next link attaches it
                await subscription.attach(self._client)
                await self.reachable(_PROBE_WAIT_S)
        return subscription

    async def reachable(self, timeout_s: float) -> bool:
        """Whether a message to ourselves makes the round trip through the NATS server in time."""
        try:
            await self._ask(None, b"", timeout_s)
        except (Unreachable, TimedOutWaiting):
            return False
        return True

    # -- sending ---------------------------------------------------------------------------------------------------

    async def _on_foreign(self, msg: Msg, said: str) -> None:
        """A frame of another protocol version: this side's owner is told, and so is, once, whoever sent it.

        Not of one in an inbox: a server answers wherever a question says, so what comes there says nothing of a grid.
        """
        if self._on_mismatch is not None and not msg.subject.startswith(f"{subjects.INBOX}."):
            self._on_mismatch(versions.printable(said))
        answer_to = versions.answer_to(msg.data, msg.subject, msg.reply)
        if answer_to:
            await self._send(answer_to, versions.notice(msg.data), "")

    async def _send(self, subject: str, frame: bytes, reply: str) -> None:
        client = self._client
        while client is not None and client.pending_data_size > _MAX_UNSENT_BYTES:
            await asyncio.sleep(0.002)
            client = self._client
        if client is None:
            raise Unreachable("the connection to the fabric is down", hint="it is being restored; try again")
        try:
            await client.publish(subject, frame, reply)
        except nats.errors.MaxPayloadError:
            raise TooLarge(f"a message of {len(frame)} bytes is over the fabric's {client.max_payload}") from None
        except nats.errors.Error as error:
            raise Unreachable(f"the fabric took no message: {error}") from error

    async def _ask(self, subject: str | None, frame: bytes, timeout_s: float) -> Msg:
        """Send with our inbox for the answer, or (None) right to our inbox; wait for what comes there."""
        try:
            with self._inbox.question(subject) as (inbox, answer):
                async with asyncio.timeout(timeout_s):
                    await self._send(subject or inbox, frame, inbox if subject else "")
                    return await answer
        except TimeoutError:
            raise TimedOutWaiting(f"no answer from {subject or 'the fabric'} within {timeout_s:g} s") from None

    # -- staying connected -----------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        while True:
            lost = asyncio.Event()
            client = await self._open(lost)
            try:
                await self._attach(client)
                await self._watch(client, lost)
            except (nats.errors.Error, OSError) as error:
                log.warning("fabric: connection lost while it was set up", error=str(error))
            except Exception:  # whatever it was, the next connection may be better; none at all is not
                log.exception("fabric: connection given up")
            finally:
                if self._client is client:
                    self._client = None
                    self._inbox.abandon()
                self._start(close_link(client), self._closings)  # a server that hangs may take its time
            self._log("fabric: connection lost", server=self._server)
            self._notify(self._on_disconnect)

    async def _open(self, lost: asyncio.Event) -> Client:
        """A new link, tried for ever with growing, jittered pauses; the reason is logged when it changes.

        The server that was lost is the last to be tried: it may hang, or be about to go.
        """
        pause_s, patience_s, self._last_failure, self._told = _FIRST_RETRY_S, _FIRST_PATIENCE_S, "", ""
        began = time.monotonic()
        while True:
            try:
                client, self._server = await open_any(
                    self._endpoint(), name=self._name, lost=lost, last=self._server, patience_s=patience_s
                )
            except Exception as error:  # noqa: BLE001 -- reading the endpoint may fail in ways of its own
                self._failed(error, known=self._first.is_set() and time.monotonic() - began < _RESTART_S)
            else:
                return client
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
            pause_s, patience_s = min(pause_s * 2, _LAST_RETRY_S), min(patience_s * 1.5, _LAST_PATIENCE_S)

    def _failed(self, error: Exception, *, known: bool) -> None:
        """Say why there is no connection, once for each reason. `known`: it may be a mere restart."""
        text = str(error)
        if isinstance(error, WasmgridError):
            text = error.message + (f" · {error.hint}" if error.hint else "")
        if text != self._last_failure:
            self._last_failure = text
            self._log("fabric: trying to connect", error=text)
        if self._on_waiting is not None and text != self._told and not known:
            self._told = text
            self._on_waiting(text)

    def _log(self, event: str, **details: object) -> None:
        """A warning, but where a person is told in other words."""
        (log.warning if self._on_waiting is None else log.info)(event, name=self._name, **details)

    async def _attach(self, client: Client) -> None:
        for subject in self._inbox.everything:
            await client.subscribe(subject, cb=self._inbox.arrived)
        for subscription in self._subscriptions:
            await subscription.attach(client)
        self._client = client
        if not await self.reachable(_PROBE_WAIT_S):
            raise ConnectionError("no round trip")
        if self._first.is_set():
            log.info("fabric: connected again", name=self._name)
            self._notify(self._on_reconnect)
        self._first.set()

    async def _watch(self, client: Client, lost: asyncio.Event) -> None:
        """Return when the connection is gone: closed, or silent for several probes (a stopped or cut-off server)."""
        while client.is_connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_EVERY_S):
                    await lost.wait()
            lost.clear()
            for _ in range(_PROBE_MISSES):
                if not client.is_connected or await self.reachable(_PROBE_WAIT_S):
                    break
            else:
                return

    def _notify(self, notice: Notice | None) -> None:
        if notice is None:
            return

        async def call() -> None:
            try:
                await notice()
            except Exception:
                log.exception("fabric: a connection notice failed")

        self._start(call(), self._notices)

    def _start(self, work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
