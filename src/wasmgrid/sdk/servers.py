"""Several servers of one grid, of which any answers: which one is asked, when to go on to the next, and what is said
where none can be reached."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from wasmgrid.core.errors import InvalidField, Superseded, Unavailable, Unreachable, WasmgridError
from wasmgrid.sdk.calls import Request
from wasmgrid.sdk.endpoint import CA_VARIABLE, COPY_CA, Found

# Gone, or on its way out, or without a store: another server may be better off.
AWAY = (Unreachable, Unavailable, Superseded)


class NotAsked(Unreachable):
    """No connection came about: the server cannot have done anything."""


class Servers:
    """The servers of one grid and the one that is asked now; whoever fails to answer is followed by the next."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._parts = tuple(check_url(url) for url in urls)
        self._at = 0

    def __len__(self) -> int:
        return len(self.urls)

    @property
    def url(self) -> str:
        """The server that is asked now."""
        return self.urls[self._at]

    @property
    def parts(self) -> SplitResult:
        """Its URL in its parts."""
        return self._parts[self._at]

    def go_on(self, *, than: str) -> None:
        """Ask another than `than` from now on; who found it away before us has done so already."""
        if self.url == than:
            self._at = (self._at + 1) % len(self.urls)

    def another(self, request: Request, failures: Sequence[WasmgridError], *, than: str) -> bool:
        """Whether `request`, which failed so at as many servers and at `than` last, is to be sent to the one at `url`.

        What a server may have done already is not asked of another, unless doing it twice is doing it once.
        """
        self.go_on(than=than)
        repeatable = request.repeatable or isinstance(failures[-1], NotAsked)
        return repeatable and len(failures) < len(self)


def check_url(url: str) -> SplitResult:
    """`url` in its parts where a client can use it, else `InvalidField`."""
    parts = urlsplit(url)
    try:
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise InvalidField(f"{url!r} is not a server's address", hint="write HOST:PORT or http://HOST:PORT")
    return parts


def trusted(found: Found) -> ssl.SSLContext | None:
    """How certificates are checked; None where no server has one."""
    if not any(url.startswith("https://") for url in found.urls):
        return None
    try:
        return ssl.create_default_context(cafile=found.ca)
    except (ssl.SSLError, OSError) as error:
        hint = f"name a PEM file: export {CA_VARIABLE}=ca.pem"
        raise InvalidField(f"{found.ca} holds no certificates that can be read", hint=hint) from error


def unreachable(url: str, error: BaseException, *, asked: bool = True) -> Unreachable:
    """What a person is told where a server does not answer; `asked`: the request may have arrived there."""
    hint = "see what runs: wasmgrid doctor"
    if isinstance(error, TimeoutError | socket.timeout):
        reason = "no answer in time"
    elif isinstance(error, socket.gaierror):
        reason = "no such host"
    elif isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted: {error.verify_message}"
        hint = COPY_CA
    elif isinstance(error, ssl.SSLError):
        reason, hint = "it does not speak TLS", f"write {url.replace('https://', 'http://', 1)}"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()
    else:
        reason = str(error) or type(error).__name__
        if url.startswith("http://"):  # what speaks TLS hangs up on who does not
            hint = f"if it serves other machines it speaks TLS: write {url.replace('http://', 'https://', 1)}"
    kind = Unreachable if asked else NotAsked
    return kind(f"the server at {url} cannot be reached ({reason})", hint=hint)


def all_away(failures: Sequence[WasmgridError]) -> WasmgridError:
    """One error out of those of every server that was asked: a server's own words before those about lines."""
    said = [each for each in failures if not isinstance(each, Unreachable)]
    if said or len(failures) == 1:
        return (said or failures)[-1]
    kind = NotAsked if all(isinstance(each, NotAsked) for each in failures) else Unreachable
    return kind("; ".join(each.message for each in failures), hint=failures[-1].hint)
