"""Output as events: text where it is UTF-8, base64 where it is not, characters never cut apart without need."""

from __future__ import annotations

import base64
from typing import Any

from wasmgrid.server.sse import event

FRAME_BYTES = 64 * 1024  # of one stream, in one event
Offsets = tuple[int, int]  # into stdout and stderr
STREAMS = ("stdout", "stderr")


def frame(
    attempt: int, offsets: Offsets, stdout: bytes, stderr: bytes, *, final: bool = False
) -> tuple[bytes, Offsets]:
    """(events, offsets after them). `final`: no more will come that could complete a character."""
    events = b""
    at = list(offsets)
    for which, data in enumerate((stdout[:FRAME_BYTES], stderr[:FRAME_BYTES])):
        payload, taken = _payload(data, at[which], final=final and len(data) < FRAME_BYTES)
        if taken:
            at[which] += taken
            events += event(STREAMS[which], payload, id=event_id(attempt, (at[0], at[1])))
    return events, (at[0], at[1])


def event_id(attempt: int, offsets: Offsets) -> str:
    """Where a reader is who has seen this event."""
    return f"{attempt}-{offsets[0]}-{offsets[1]}"


def parse_event_id(text: str) -> tuple[int, Offsets] | None:
    """(attempt, offsets) of a `Last-Event-ID`; None for what is none."""
    parts = text.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        return None
    attempt, stdout, stderr = map(int, parts)
    return attempt, (stdout, stderr)


def _payload(data: bytes, offset: int, *, final: bool) -> tuple[dict[str, Any], int]:
    try:
        return {"offset": offset, "data": data.decode()}, len(data)
    except UnicodeDecodeError as error:
        if not final and error.reason == "unexpected end of data" and error.end == len(data):
            return {"offset": offset, "data": data[: error.start].decode()}, error.start
        return {"offset": offset, "base64": base64.b64encode(data).decode()}, len(data)
