"""Browsers that may ask without the token: a link signs one in, once; a cookie says that it is.

Both are random secrets of which the store keeps the digest, so that every server of a grid knows them, a restart ends
none, and taking one back is one row less. A cookie's name has part of the grid's own in it: browsers keep cookies by
host and not by port, and grids on one machine must not sign each other's browsers out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from wasmgrid.core.errors import Unauthorized
from wasmgrid.store import Store
from wasmgrid.store.sign_ins import LINK, SESSION

LINK_S = 600.0
SESSION_S = 14 * 86400.0
HEEDED_S = 3.0  # a session that was ended at another server is not heeded here after that
_SECRET_BYTES = 24
_MOST_KNOWN = 1000
_MOST_COOKIES = 4


class Sessions:
    """The sign-ins of one grid, as one of its servers knows them."""

    def __init__(self, store: Store, token: str) -> None:
        self._store = store
        self._token = token.encode()
        self._known: dict[str, float] = {}  # digest of a good session -> when to ask again (monotonic)
        mark = hmac.digest(self._token, b"wasmgrid dashboard", "sha256").hex()[:8]
        self.cookie_name = f"wasmgrid-{mark}"

    async def link(self) -> str:
        """A new code that signs one browser in, once, within ten minutes."""
        code = secrets.token_urlsafe(_SECRET_BYTES)
        await self._store.add_sign_in(_digest(code), LINK, LINK_S)
        return code

    async def open(self, *, code: str | None = None, token: str | None = None) -> str:
        """A new session's secret, in return for a link's code or for the token; raises `Unauthorized`."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        if code is not None:
            if await self._store.exchange_sign_in(_digest(code), _digest(secret), SESSION_S):
                return secret
            raise Unauthorized(
                "this link was used before, or it is older than ten minutes", hint="a new one: wasmgrid dashboard"
            )
        if token is None or not hmac.compare_digest(token.strip().encode(), self._token):
            raise Unauthorized(
                "this is not the grid's token", hint="it is in the file token of the server's home: wasmgrid dashboard"
            )
        await self._store.add_sign_in(_digest(secret), SESSION, SESSION_S)
        return secret

    async def holds(self, cookies: str) -> bool:
        """Whether a request with this Cookie header comes from a browser that is signed in."""
        for secret in self._secrets(cookies):
            if await self._is_good(secret):
                return True
        return False

    async def _is_good(self, secret: str) -> bool:
        digest, now = _digest(secret), time.monotonic()
        if self._known.get(digest, 0.0) > now:
            return True
        self._known.pop(digest, None)
        if not await self._store.is_session(digest):
            return False
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest] = now + HEEDED_S
        return True

    async def close(self, cookies: str) -> None:
        """Sign this browser out."""
        for secret in self._secrets(cookies):
            self._known.pop(_digest(secret), None)
            await self._store.remove_sign_in(_digest(secret))

    async def close_all(self) -> int:
        """Sign every browser out, and void every link; how many they were."""
        self._known.clear()
        return await self._store.remove_sign_ins()

    def cookie(self, secret: str, *, secure: bool) -> str:
        """The Set-Cookie of a session; an empty `secret` takes it back."""
        lasts = f"; Max-Age={SESSION_S if secret else 0:.0f}"
        return f"{self.cookie_name}={secret}; Path=/; HttpOnly; SameSite=Strict{lasts}{'; Secure' if secure else ''}"

    def _secrets(self, cookies: str) -> list[str]:
        """What stands in our cookie, of which a path may have another one.

        Others on this host set cookies, too, in forms at which `http.cookies` gives up on all: they are passed over.
        """
        pairs = (each.partition("=") for each in cookies.split(";"))
        found = [value.strip() for name, _, value in pairs if name.strip() == self.cookie_name and value.strip()]
        return found[:_MOST_COOKIES]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
