"""Server-sent events, as they are written."""

from __future__ import annotations

from typing import Any

import msgspec

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": still here\n\n"
MEDIA_TYPE = "text/event-stream"


def event(kind: str, data: Any, *, id: str = "") -> bytes:  # noqa: A002 - the field's own name
    """One event; `data` becomes JSON, which has no line breaks."""
    head = f"id: {id}\nevent: {kind}\n" if id else f"event: {kind}\n"
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"
