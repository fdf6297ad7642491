"""Requests counted by method, route and status; a route is a template, so what is asked for cannot fill the memory."""

from __future__ import annotations

from collections import Counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

NO_ROUTE = "none"  # refused before any routing, or of a path that is none of ours
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


class Counting:
    """The application, and what it answered: (method, route, status) -> how often."""

    def __init__(self, app: ASGIApp, answered: Counter[tuple[str, str, int]]) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it answer; counted when an answer begins."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._answered[method, str(scope.get("path_template", NO_ROUTE)), message["status"]] += 1
            await send(message)

        await self._app(scope, receive, noting)
