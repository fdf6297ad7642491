"""Which servers a client talks to, with which token, and whose certificates it trusts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from wasmgrid.core.errors import InvalidField, NotFound, Unreachable
from wasmgrid.home import Home, ServerEndpoint

SERVER_VARIABLE = "WASMGRID_SERVER"
TOKEN_VARIABLE = "WASMGRID_TOKEN"  # noqa: S105 -- the name of a variable
CA_VARIABLE = "WASMGRID_CA"
DEFAULT_PORT = 3030
COPY_CA = f"copy tls/ca.pem out of the server's home and name it: export {CA_VARIABLE}=ca.pem"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Found:
    """The base URLs of one grid's servers, any of which will do, and the token to show them (None: there is none).

    `ca` is a PEM file with the authorities to trust instead of the system's.
    """

    urls: tuple[str, ...]
    token: str | None = field(repr=False)
    ca: Path | None = None


def configured(named: str | None = None) -> tuple[str, ...]:
    """The servers that were asked for, comma-separated, by argument or `$WASMGRID_SERVER`; () where nothing was."""
    said = named or os.environ.get(SERVER_VARIABLE) or ""
    return tuple(base_url(each) for each in said.split(",") if each.strip())


def find(named: str | None = None, token: str | None = None, ca: Path | str | None = None) -> Found:
    """The configured servers, else the one that runs in the home; raises `Unreachable` where there is neither."""
    home = Home.default()
    local = home.endpoint()
    urls = tuple(_as_the_home_says(url, local) for url in configured(named))
    if not urls:
        if local is None:
            raise Unreachable("no server is running", hint="start one: wasmgrid up")
        urls = (local.url,)
    ours = local is not None and all(_same(url, local.url) for url in urls)
    shown = token or os.environ.get(TOKEN_VARIABLE) or None
    if shown is None and ours:
        # Only the home's own server is shown the home's token: another one could use it against this home.
        shown = _token_of(home)
    return Found(urls, shown, _ca(ca, home if ours else None))


def base_url(named: str) -> str:
    """`named` (HOST, HOST:PORT or a URL) as a URL without a slash at its end; the port defaults to 3030.

    Without a scheme it is https, but for this machine's loopback: beyond that a grid speaks TLS only.
    """
    url = named.strip().rstrip("/")
    if "://" in url:
        return url
    bare_v6 = url.count(":") > 1 and not url.startswith("[")
    url = f"http://[{url}]" if bare_v6 else f"http://{url}"
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise InvalidField(f"{named!r} is not a server's address", hint="write HOST:PORT or a URL") from None
    if port is None:
        url = url.replace(parts.netloc, f"{parts.netloc}:{DEFAULT_PORT}", 1)
    return url if parts.hostname in _LOOPBACK else url.replace("http://", "https://", 1)


def _as_the_home_says(url: str, local: ServerEndpoint | None) -> str:
    """The home's own URL where `url` means that server without having said that it speaks TLS."""
    if local is None or urlsplit(local.url).scheme != "https":
        return url
    return local.url if _same(url.replace("http://", "https://", 1), local.url) else url


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


def _ca(given: Path | str | None, home: Home | None) -> Path | None:
    """The authorities that were named, else those of `home`; None for the system's."""
    named = given or os.environ.get(CA_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise InvalidField(f"there is no {named} with certificates", hint=COPY_CA)
        return path
    own = home.path / "tls" / "ca.pem" if home is not None else None
    return own if own is not None and own.is_file() else None
