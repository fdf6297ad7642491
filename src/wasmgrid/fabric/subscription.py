"""A served subject: messages in, handlers run, answers out. Nothing that comes in can end it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from wasmgrid.core import wire
from wasmgrid.core.errors import ProtocolMismatch, WasmgridError
from wasmgrid.fabric import subjects, versions

Handler = Callable[[wire.Message, str], Awaitable[wire.Message | None]]
Reply = Callable[[str, wire.Message], Awaitable[None]]
Accept = Callable[[wire.Message, str], str]  # why a message that came to that subject is refused; empty: it is not
Foreign = Callable[[Msg, str], Awaitable[None]]

_PENDING_MESSAGES = 1 << 20
_PENDING_BYTES = 512 << 20

log = structlog.get_logger()


class Subscription:
    """Made by `Fabric.serve`. Handlers start in the order of arrival and run concurrently, `concurrency` at most.

    With a `concurrency` of 1 they run where the message came in, without a task of their own: for those that come often
    and wait for nothing.

    What cannot be decoded is dropped and logged, and `foreign` is told where it is of another protocol version. What
    `accept` refuses is dropped, counted and logged. A handler that raises is logged and answers nothing, so whoever
    asked meets its time-out and asks again or settles it otherwise. All of these are logged the 1st, 2nd, 4th, 8th
    time: what a worker says never fills a log. Answers go to inboxes alone: a question may name any subject for its
    answer, also one where whoever asks may not speak.
    """

    def __init__(
        self,
        subject: str,
        queue: str,
        handler: Handler,
        reply: Reply,
        concurrency: int,
        *,
        accept: Accept | None,
        foreign: Foreign,
    ) -> None:
        self.subject = subject
        self.dropped = 0
        self.refused = 0
        self.failed = 0
        self._accept = accept
        self._foreign = foreign
        self._queue = queue
        self._handler = handler
        self._reply = reply
        self._slots = asyncio.Semaphore(concurrency) if concurrency > 1 else None
        self._running: set[asyncio.Task[None]] = set()
        self._link: NatsSubscription | None = None
        self._stopped = False

    async def attach(self, client: Client) -> None:
        """Subscribe on a new connection."""
        if not self._stopped:
            self._link = await client.subscribe(
                self.subject,
                queue=self._queue,
                cb=self._deliver,
                pending_msgs_limit=_PENDING_MESSAGES,
                pending_bytes_limit=_PENDING_BYTES,
            )

    async def stop(self) -> None:
        """Take no more messages; handlers that run are cancelled."""
        self._stopped = True
        link, self._link = self._link, None
        if link is not None:
            with contextlib.suppress(nats.errors.Error):  # the connection is closed, and the subscription with it
                await link.unsubscribe()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _deliver(self, msg: Msg) -> None:
        try:
            message = wire.decode(msg.data)
        except ProtocolMismatch as error:
            self.dropped += 1
            if _worth_a_line(self.dropped):
                log.warning("fabric: message dropped", subject=msg.subject, dropped=self.dropped, error=error.message)
            if versions.is_foreign(msg.data):
                await self._tell_foreign(msg, error.message)
            return
        if self._accept is not None and (why := self._accept(message, msg.subject)):
            self.refused += 1
            if _worth_a_line(self.refused):
                log.error(
                    "fabric: message refused",
                    why=why,
                    subject=msg.subject,
                    message=type(message).__name__,
                    refused=self.refused,
                )
            return
        if self._slots is None:
            await self._handle(message, msg.reply)
            return
        await self._slots.acquire()
        task = asyncio.create_task(self._handle(message, msg.reply))
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def _tell_foreign(self, msg: Msg, said: str) -> None:
        try:
            await self._foreign(msg, said)
        except WasmgridError as error:
            log.warning("fabric: another version was not told", subject=msg.subject, error=str(error))
        except Exception:
            log.exception("fabric: telling of another version failed", subject=msg.subject)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._slots is not None:
            self._slots.release()

    async def _handle(self, message: wire.Message, reply: str) -> None:
        try:
            answer = await self._handler(message, reply)
            if answer is not None and reply.startswith(f"{subjects.INBOX}."):
                await self._reply(reply, answer)
        except Exception as error:
            self.failed += 1
            if not _worth_a_line(self.failed):
                return
            about = {"subject": self.subject, "message": type(message).__name__, "failed": self.failed}
            if isinstance(error, WasmgridError):
                log.warning("fabric: not answered", error=str(error), **about)
            else:
                log.exception("fabric: a handler failed", **about)


def _worth_a_line(count: int) -> bool:
    """The 1st, 2nd, 4th, 8th ...: a flood does not fill the log."""
    return count & (count - 1) == 0
