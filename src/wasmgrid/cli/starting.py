"""`up --detach`: a grid in a process of its own, awaited until it answers."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import HomeInUse, TimedOutWaiting, Unavailable, Unreachable, WasmgridError
from wasmgrid.home import Home, ServerEndpoint
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.problems import error_named

READY_S = 60.0  # generous: on a busy machine every import is slow
_POLL_S = 0.03
_AGAIN_S = 0.3
_TOLD = re.compile(r"^error\[(\w+)\]: (.*)$", re.MULTILINE)


def log_file() -> Path:
    """Where a detached server writes."""
    return Home.default().logs / "up.log"


def start_detached(
    arguments: Sequence[str], *, join: bool = False, environment: Mapping[str, str] | None = None
) -> ServerEndpoint:
    """Start `wasmgrid up` with these arguments, away from this terminal; returns when it answers.

    `join`: where somebody else starts one in this home at the same time, that one will do; where one is just stopping,
    it is waited for. `environment` is added to ours: secrets go there, not into arguments, which every process can
    read. Raises what the server said as it ended, or `TimedOutWaiting`.
    """
    home = Home.default().create()
    ends_at = time.monotonic() + READY_S
    while True:
        try:
            return _start(home, arguments, {**os.environ, **(environment or {})}, join=join, ends_at=ends_at)
        except HomeInUse:
            if not join or time.monotonic() > ends_at:
                raise
        time.sleep(_AGAIN_S)


def _start(
    home: Home, arguments: Sequence[str], environment: Mapping[str, str], *, join: bool, ends_at: float
) -> ServerEndpoint:
    """One process, until it answers or ends; with `join`, any that answers."""
    log = log_file()
    with log.open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(  # it outlives this command; nobody waits for it
            [sys.executable, "-m", "wasmgrid", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home.path,
            env=environment,
            start_new_session=True,
        )
    try:
        return _answering(home, process, log, before, join=join, ends_at=ends_at)
    except KeyboardInterrupt:
        process.terminate()  # nobody wants it any more
        say("the server that was starting is stopped")
        raise


def _answering(
    home: Home, process: subprocess.Popen[bytes], log: Path, before: int, *, join: bool, ends_at: float
) -> ServerEndpoint:
    while time.monotonic() < ends_at:
        endpoint = home.endpoint()
        if endpoint is not None and (join or endpoint.pid == process.pid) and _ready(endpoint):
            process.returncode = process.returncode or 0  # no warning that it is still running: it is meant to
            return endpoint
        if process.poll() is not None:
            raise _why_it_ended(log, before)
        time.sleep(_POLL_S)
    raise TimedOutWaiting(f"the server was not ready within {READY_S:g} s", hint=f"see {log}")


def _ready(endpoint: ServerEndpoint) -> bool:
    with contextlib.suppress(Unreachable, Unavailable), Client(endpoint.url) as client:
        client.send(calls.ready())
        return True
    return False


def _why_it_ended(log: Path, before: int) -> WasmgridError:
    """What the process wrote since `before`, as the error that it was."""
    with log.open("rb") as file:
        file.seek(before)
        said = file.read().decode("utf-8", "replace")
    told = _TOLD.findall(said)
    if told:
        return error_named(*told[-1])
    lines = said.strip().splitlines()
    return Unavailable(
        f"the server ended as it started: {lines[-1] if lines else 'it said nothing'}", hint=f"see {log}"
    )
