"""What a server says of its dashboard as it starts."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TextIO

from wasmgrid.core.errors import WasmgridError

if TYPE_CHECKING:  # the store, which `wasmgrid up --detach` has no use for
    from wasmgrid.server.dashboard.sessions import Sessions


async def announcement(sessions: Sessions, url: str, stream: TextIO) -> str | None:
    """A line with a link that signs a browser in, for whoever looks on; None where `stream` is kept by itself."""
    if not is_watched(stream):
        return None
    try:
        return f"dashboard: {url}/sign-in#{await sessions.link()} · signs one browser in; another: wasmgrid dashboard"
    except WasmgridError:  # the store is away; the command gives a link later
        return f"dashboard: {url} · sign in: wasmgrid dashboard"


def is_watched(stream: TextIO) -> bool:
    """Whether it is a terminal or goes to another program: a file or a journal would keep the link."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISSOCK(mode))
