"""The client of a command: the configured server, else the home's, else (for whoever submits) one that is started."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from wasmgrid.cli.terminal import say
from wasmgrid.home import Home
from wasmgrid.sdk import endpoint
from wasmgrid.sdk.client import CONNECT_S, Client
from wasmgrid.sdk.views import Job

if TYPE_CHECKING:
    from wasmgrid.sdk.prepare import Prepared

IDLE_EXIT = "10m"


def client(server: str | None) -> Client:
    """A client of the configured server, or of the one that runs in the home; `Unreachable` where there is none.

    It is closed when the command ends.
    """
    made = Client(server)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(made.close)
    return made


def client_or_start(server: str | None) -> Client:
    """The same, but where nothing is configured and nothing runs, a grid is started. Never beside a configured one."""
    if not endpoint.configured(server) and not _runs():
        from wasmgrid.cli.starting import start_detached  # noqa: PLC0415 -- most commands find a server

        say(f"no server is running; starting one (it stops after {IDLE_EXIT} without work: wasmgrid up)")
        start_detached(["--idle-exit", IDLE_EXIT], join=True)
    return client(server)


def _runs() -> bool:
    """Whether the home's server answers. A file that names a process is not enough: numbers are used again."""
    local = Home.default().endpoint()
    if local is None:
        return False
    parts = urlsplit(local.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=CONNECT_S).close()
    except OSError:
        return False
    return True


def submitted(connection: Client, request: Prepared) -> Job:
    """The request as a job; what the server lacks of its bytes is uploaded, with a bar where that takes a while."""
    from wasmgrid.cli.transfer import Transfer  # noqa: PLC0415 -- most commands send nothing

    with Transfer("uploading", sum(blob.size for blob in request.blobs.values())) as transfer, _told_where_to_look():
        return connection.submit_spec(request.spec, transfer.uploaded(request.blobs))


@contextlib.contextmanager
def _told_where_to_look() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted: whether the job was taken is told by: wasmgrid jobs -n 1")
        raise
