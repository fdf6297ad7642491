"""What runs, here or elsewhere: the fabric, each server by itself, who leads, who works."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from wasmgrid import __version__
from wasmgrid.cli.checks.check import Check, fail, ok, warn
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import FabricEndpoint, Home

SKEW_S = 30.0
_CONNECT_S = 3.0
_NATS_PORT = 4222


def nats(name: str) -> Iterator[Check]:
    """Whether each server of the fabric that is configured, or that this home uses, answers as NATS does."""
    from wasmgrid.cli.working import NATS_VARIABLE  # noqa: PLC0415

    named = os.environ.get(NATS_VARIABLE)
    home = Home.default()
    fabric = FabricEndpoint.parse(named) if named else home.fabric()
    if fabric is None or (fabric.embedded and home.endpoint() is None):
        return  # ours, and it does not run now
    for url in fabric.servers:
        problem = _says_no_info(url)
        if problem is None:
            yield ok(name, f"{url} answers")
        elif fabric.embedded:
            yield fail(
                name, f"{url}, our own, {problem}", f"look at {home.logs / 'nats.log'}; wasmgrid down; wasmgrid up"
            )
        else:
            yield fail(
                name, f"{url} {problem}", f"look at ${NATS_VARIABLE}, the credential's address, and whether it runs"
            )


def _says_no_info(url: str) -> str | None:
    """What is wrong with a NATS; None where it greets."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or _NATS_PORT), timeout=_CONNECT_S) as talk:
            talk.settimeout(_CONNECT_S)
            return None if talk.recv(5) == b"INFO " else "answers, and is no NATS"
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}"


def servers(name: str, named: str | None) -> Iterator[Check]:
    """Each server by itself (one that is away must not hide behind one that is not), then the workers."""
    from wasmgrid.sdk import calls, endpoint  # noqa: PLC0415
    from wasmgrid.sdk.client import Client  # noqa: PLC0415

    urls = endpoint.configured(named)
    if not urls and Home.default().endpoint() is None:
        yield ok(name, "none runs (run and submit start one)")
        return
    answered = False
    for url in urls or (None,):
        for check in _one_server(name, url):
            answered |= check.state != "fail"
            yield check
    if not answered:
        return
    with Client(named) as client:
        workers = client.send(calls.workers()).workers
    there = [worker for worker in workers if worker.state == "joined"]
    closed = [worker.id for worker in workers if worker.state != "joined"]
    found = f"{len(there)} worker{'' if len(there) == 1 else 's'}"
    if closed:
        found += f"; {', '.join(closed[:5])} take{'s' if len(closed) == 1 else ''} nothing new"
    if there and not closed:
        yield ok("workers", found)
    else:
        yield warn("workers", found, "wasmgrid workers" if closed else "start one: wasmgrid worker")
    others = sorted({worker.version for worker in workers} - {__version__})
    if others:
        yield warn("workers", f"some are of version {', '.join(others)}", "run one version on every machine of a grid")


def _one_server(name: str, url: str | None) -> Iterator[Check]:
    """What one server says of itself and of who leads."""
    from wasmgrid.sdk import calls  # noqa: PLC0415
    from wasmgrid.sdk.client import Client  # noqa: PLC0415

    try:
        with Client(url) as client:
            version = client.send(calls.version()).version
            grid = client.send(calls.grid())
            its_time = client.send(calls.overview()).now if grid.leader else None
            here = time.time()
            where = client.url
    except WasmgridError as error:
        yield fail(name, error.message, error.hint or "look at its log, or start it: wasmgrid up")
        return
    leads = "it leads" if grid.leads else f"{grid.leader.server_id} leads" if grid.leader else "nobody leads"
    found = f"{where}, version {version}, {grid.server_id}, {leads}"
    if grid.leader is None:
        yield fail(name, found, "another takes over within seconds; if not: wasmgrid doctor on the servers' machines")
    elif version != __version__:
        yield warn(name, f"{found}; this is version {__version__}", "run one version on every machine of a grid")
    else:
        yield ok(name, found)
    if its_time is not None and abs(its_time - here) > SKEW_S:
        ahead = "ahead of" if its_time > here else "behind"
        found = f"the clock of {where} is {abs(its_time - here):.0f} s {ahead} this one"
        yield warn("clock", found, "set both: timedatectl set-ntp true")
