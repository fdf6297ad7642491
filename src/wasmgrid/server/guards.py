"""Who may ask: a page that someone visits must not reach their grid, and nobody may without its token or a session.

One pass over the headers, before any routing: a refusal costs nothing, and no route can forget it. A browser adds its
session's cookie to whatever it sends, so a request that changes something must also say that our own page sent it.
"""

from __future__ import annotations

import contextlib
import hmac
import time
from collections.abc import Callable, Collection

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from wasmgrid.core.errors import Forbidden, Unauthorized, WasmgridError
from wasmgrid.server.dashboard.pages import is_open
from wasmgrid.server.dashboard.sessions import HEEDED_S, Sessions
from wasmgrid.server.problems import refusal_of

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/schema", "/schema/openapi.json"})
SESSION = "/session"
_GUARDED = frozenset({b"host", b"origin", b"authorization", b"cookie", b"sec-fetch-site", b"sec-fetch-mode"})
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class Gate:
    """The application behind its checks.

    `allowed_hosts` are names and addresses without ports (`127.0.0.1`, `localhost`, `::1`): a foreign Host is how DNS
    rebinding shows itself. `on_activity` is called for every request that comes through with the token.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        sessions: Sessions,
        allowed_hosts: Collection[str],
        on_activity: Callable[[], None],
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._sessions = sessions
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._on_activity = on_activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or answer with the problem."""
        if scope["type"] == ScopeType.HTTP:
            refusal = await self._refusal(scope)
            if refusal is not None:
                await refusal_of(refusal, scope)(scope, receive, send)
                return
            given = dict(scope["headers"])
            if not self._has_token(given.get(b"authorization", b"")) and b"cookie" in given:
                send = self._while_signed_in(given[b"cookie"].decode("latin-1"), send)
        await self._app(scope, receive, send)

    async def _refusal(self, scope: HTTPScope) -> WasmgridError | None:
        headers = [(name, value) for name, value in scope["headers"] if name in _GUARDED]
        given = dict(headers)
        if len(given) != len(headers):
            return Forbidden("a header that decides who may ask came twice")
        host = given.get(b"host", b"").decode("latin-1").lower()
        if _without_port(host) not in self._hosts:
            return Forbidden(
                f"this grid does not answer to the host {host[:200]!r}",
                hint="use the address in endpoint.json, or start the server with this name: --advertise NAME",
            )
        if _is_foreign(given, host):
            return Forbidden("a request on behalf of another site's page")
        if scope["path"] in OPEN_PATHS:
            return None
        if self._has_token(given.get(b"authorization", b"")):
            self._on_activity()
            return None
        return await self._refusal_of_browser(scope, given)

    async def _refusal_of_browser(self, scope: HTTPScope, given: dict[bytes, bytes]) -> WasmgridError | None:
        """What has no token: a page before anybody is signed in, a sign-in, or a request with a session's cookie."""
        safe = scope["method"] in _SAFE_METHODS
        if safe and is_open(scope["path"]):
            return None
        cookies = given.get(b"cookie", b"").decode("latin-1")
        signs_in = scope["path"] == SESSION and scope["method"] == "POST"
        try:
            if not signs_in and not await self._sessions.holds(cookies):
                return Unauthorized(
                    "no valid token came with the request",
                    hint="send `Authorization: Bearer $(cat $WASMGRID_HOME/token)`, or set WASMGRID_TOKEN; "
                    "in a browser: wasmgrid dashboard",
                )
        except WasmgridError as error:  # the store is away
            return error
        if not safe and b"origin" not in given:
            return Forbidden("a browser's request that changes something says from which page it comes")
        self._on_activity()
        return None

    def _while_signed_in(self, cookies: str, send: Send) -> Send:
        """`send` for a browser's request: what streams for long ends when its session does, not when it likes to."""
        look_at = time.monotonic() + HEEDED_S
        over = False

        async def watched(message: Message) -> None:
            nonlocal look_at, over
            if over:
                return
            if message["type"] == "http.response.body" and message["more_body"] and time.monotonic() > look_at:
                look_at = time.monotonic() + HEEDED_S
                with contextlib.suppress(WasmgridError):  # the store is away: as before, for now
                    over = not await self._sessions.holds(cookies)
            await send({"type": "http.response.body", "body": b"", "more_body": False} if over else message)

        return watched

    def _has_token(self, authorization: bytes) -> bool:
        scheme, _, token = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_foreign(given: dict[bytes, bytes], host: str) -> bool:
    """Whether a browser says that a page of another origin asks. Following a link is no request of that page's."""
    origin = given.get(b"origin")
    if origin is not None:
        return origin.decode("latin-1").lower() not in {f"http://{host}", f"https://{host}"}
    site = given.get(b"sec-fetch-site", b"none")
    return site not in {b"none", b"same-origin"} and given.get(b"sec-fetch-mode") != b"navigate"
