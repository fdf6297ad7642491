"""Where answers arrive: each question has a subject of its own for its answer, which nobody else can guess."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nats.aio.msg import Msg

from wasmgrid.core.errors import TimedOutWaiting
from wasmgrid.fabric import subjects

_NO_RESPONDERS = "503"
_POSTED_REMEMBERED = 4096  # the server says at once that nobody listens; older posts were heard


class Inbox:
    """With `name` it is below what that credential alone may read. Without, it is a server's, which also has one
    below each worker's for what it asks that worker: there, and nowhere else, the worker may answer.
    """

    def __init__(self, name: str | None) -> None:
        self._own = f"{subjects.inbox(name) if name else subjects.INBOX}.{secrets.token_hex(12)}"
        self._with_workers = None if name else secrets.token_hex(12)
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._posted: dict[str, Callable[[], None]] = {}

    @property
    def everything(self) -> list[str]:
        """What to subscribe."""
        own = [f"{self._own}.*"]
        return own if self._with_workers is None else [*own, f"{subjects.INBOX}.*.{self._with_workers}.*"]

    @contextmanager
    def question(self, asked: str | None = None) -> Iterator[tuple[str, asyncio.Future[Msg]]]:
        """A subject for one answer to what is asked on `asked` (None: of ourselves), and the answer when it comes."""
        inbox = self._for_answer(asked)
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[inbox] = future
        try:
            yield inbox, future
        finally:
            self._waiting.pop(inbox, None)

    def posted(self, unheard: Callable[[], None]) -> str:
        """A subject where NATS says that nobody listened; `unheard` is called then."""
        inbox = self._for_answer(None)
        self._posted[inbox] = unheard
        if len(self._posted) > _POSTED_REMEMBERED:
            del self._posted[next(iter(self._posted))]
        return inbox

    async def arrived(self, msg: Msg) -> None:
        """An answer, to whoever waits for it."""
        unheard = self._posted.pop(msg.subject, None)
        if unheard is not None:
            if nobody(msg):
                unheard()
            return
        future = self._waiting.get(msg.subject)
        if future is not None and not future.done():
            future.set_result(msg)

    def abandon(self) -> None:
        """The connection broke: whoever waits gets `TimedOutWaiting`."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(TimedOutWaiting("the connection to the fabric broke before the answer came"))

    def _for_answer(self, asked: str | None) -> str:
        worker = subjects.asked_worker(asked or "")
        if worker is None or self._with_workers is None:
            return f"{self._own}.{secrets.token_hex(12)}"
        return f"{subjects.inbox(worker)}.{self._with_workers}.{secrets.token_hex(12)}"


def nobody(msg: Msg) -> bool:
    """Whether this is the server's word that nobody serves the subject."""
    return msg.headers is not None and msg.headers.get("Status") == _NO_RESPONDERS
