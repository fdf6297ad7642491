"""Where answers arrive: one subscription for all questions, told apart by the last token of the subject."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nats.aio.msg import Msg

from wasmgrid.core.errors import TimedOutWaiting
from wasmgrid.fabric import subjects

_NO_RESPONDERS = "503"
_POSTED_REMEMBERED = 4096  # the server says at once that nobody listens; older posts were heard


class Inbox:
    """Whose subject nobody guesses; with `name`, below what that credential alone may read."""

    def __init__(self, name: str | None) -> None:
        self._subject = f"{subjects.inbox(name) if name else subjects.INBOX}.{secrets.token_hex(12)}"
        self._tokens = itertools.count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._posted: dict[str, Callable[[], None]] = {}

    @property
    def everything(self) -> str:
        """What to subscribe."""
        return f"{self._subject}.*"

    @contextmanager
    def question(self) -> Iterator[tuple[str, asyncio.Future[Msg]]]:
        """A subject for one answer, and the answer when it comes."""
        token = str(next(self._tokens))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            yield f"{self._subject}.{token}", future
        finally:
            self._waiting.pop(token, None)

    def posted(self, unheard: Callable[[], None]) -> str:
        """A subject where NATS says that nobody listened; `unheard` is called then."""
        token = str(next(self._tokens))
        self._posted[token] = unheard
        if len(self._posted) > _POSTED_REMEMBERED:
            del self._posted[next(iter(self._posted))]
        return f"{self._subject}.{token}"

    async def arrived(self, msg: Msg) -> None:
        """An answer, to whoever waits for it."""
        token = msg.subject.rpartition(".")[2]
        unheard = self._posted.pop(token, None)
        if unheard is not None:
            if nobody(msg):
                unheard()
            return
        future = self._waiting.get(token)
        if future is not None and not future.done():
            future.set_result(msg)

    def abandon(self) -> None:
        """The connection broke: whoever waits gets `TimedOutWaiting`."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(TimedOutWaiting("the connection to the fabric broke before the answer came"))


def nobody(msg: Msg) -> bool:
    """Whether this is the server's word that nobody serves the subject."""
    return msg.headers is not None and msg.headers.get("Status") == _NO_RESPONDERS
