"""Server-sent events out of bytes, without I/O. After the WHATWG's "Interpreting an event stream"."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One event: its type (`message` where none was given), its data, lines joined by a newline, and the last id said.

    Who was cut off says that id (`Last-Event-ID`), and the server goes on behind it.
    """

    type: str
    data: str
    id: str = ""


class EventParser:
    """Feed it bytes as they come, in any pieces; it gives the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended_by_return = False  # the last chunk ended with \r: a \n that follows belongs to it
        self._first = True
        self._type = ""
        self._id = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        events = []
        for line in self._lines(chunk):
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        if not chunk:
            return []
        ended_by_return, self._ended_by_return = self._ended_by_return, chunk.endswith(b"\r")
        if ended_by_return:
            chunk = chunk.removeprefix(b"\n")
        *lines, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return lines

    def _line(self, raw: bytes) -> Event | None:
        line = raw.decode("utf-8", "replace")
        if self._first:
            line = line.removeprefix("\ufeff")
            self._first = False
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._type or "message", "\n".join(self._data), self._id) if self._data else None
        self._type, self._data = "", []
        return event
