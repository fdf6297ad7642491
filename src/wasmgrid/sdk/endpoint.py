"""Which server a client talks to, and with which token."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wasmgrid.core.errors import InvalidField, NotFound, Unreachable
from wasmgrid.home import Home

SERVER_VARIABLE = "WASMGRID_SERVER"
TOKEN_VARIABLE = "WASMGRID_TOKEN"  # noqa: S105 -- the name of a variable
DEFAULT_PORT = 3030
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Found:
    """A server's base URL, and the token to show it (None: there is none to be had)."""

    url: str
    token: str | None = field(repr=False)


def configured(url: str | None = None) -> str | None:
    """The server that was asked for, by argument or `$WASMGRID_SERVER`; None where nothing was said."""
    named = url or os.environ.get(SERVER_VARIABLE) or None
    return None if named is None else base_url(named)


def find(url: str | None = None, token: str | None = None) -> Found:
    """The configured server, else the one that runs in the home; raises `Unreachable` where there is neither."""
    home = Home.default()
    local = home.endpoint()
    named = configured(url)
    if named is None and local is None:
        raise Unreachable("no server is running", hint="start one: wasmgrid up")
    chosen = named or (local.url if local is not None else "")
    shown = token or os.environ.get(TOKEN_VARIABLE) or None
    if shown is None and local is not None and _same(chosen, local.url):
        # Only the home's own server is shown the home's token: another one could use it against this home.
        shown = _token_of(home)
    return Found(chosen, shown)


def base_url(named: str) -> str:
    """`named` (HOST, HOST:PORT or a URL) as a URL without a slash at its end; the port defaults to 3030."""
    url = named.strip().rstrip("/")
    if "://" not in url:
        bare_v6 = url.count(":") > 1 and not url.startswith("[")
        url = f"http://[{url}]" if bare_v6 else f"http://{url}"
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise InvalidField(f"{named!r} is not a server's address", hint="write HOST:PORT or a URL") from None
        if port is None:
            url = url.replace(parts.netloc, f"{parts.netloc}:{DEFAULT_PORT}", 1)
    return url


def _same(one: str, other: str) -> bool:
    """Whether two URLs mean one server; the names of the loopback interface are one host."""
    first, second = urlsplit(one), urlsplit(other)
    same_host = first.hostname == second.hostname or {first.hostname, second.hostname} <= _LOOPBACK
    return same_host and first.port == second.port and first.scheme == second.scheme


def _token_of(home: Home) -> str | None:
    try:
        return home.token()
    except NotFound:
        return None
