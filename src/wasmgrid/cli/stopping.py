"""`down`: ends the server process of a home, and only that."""

from __future__ import annotations

import psutil

from wasmgrid.core.errors import Unavailable
from wasmgrid.home import Home

ORDERLY_S = 15.0  # a server's own stop takes at most 5
_CLOCK_S = 2.0  # by how much the start of a process and what it wrote may differ


def stop(home: Home) -> int | None:
    """End the home's server, in order, by force where that takes too long; its pid, or None where none runs."""
    process = _server_of(home)
    if process is None:
        return None
    try:
        process.terminate()
        process.wait(ORDERLY_S)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        process.kill()  # its children are on leashes
        process.wait(ORDERLY_S)
    except psutil.AccessDenied as error:
        raise Unavailable(f"the server (pid {process.pid}) is another user's", hint="stop it as that user") from error
    return process.pid


def _server_of(home: Home) -> psutil.Process | None:
    """The process that wrote `endpoint.json`, or that holds the lock while it starts or stops."""
    endpoint = home.endpoint()
    if endpoint is not None:
        return _ours(endpoint.pid, endpoint.started_at)
    try:
        pid = int(home.lock_file.read_text(encoding="ascii"))
        written_at = home.lock_file.stat().st_mtime
    except (OSError, ValueError):
        return None
    return _ours(pid, written_at)


def _ours(pid: int, at: float) -> psutil.Process | None:
    """The process `pid` where it is a wasmgrid server that ran at that time: numbers are used again."""
    try:
        process = psutil.Process(pid)
        words = process.cmdline()
        began_before = process.create_time() <= at + _CLOCK_S
    except psutil.Error:
        return None
    is_server = any("wasmgrid" in word for word in words) and bool({"up", "server"} & set(words))
    return process if is_server and began_before else None
