"""Lines of JSON out of bytes (https://github.com/ndjson/ndjson-spec), without I/O."""

from __future__ import annotations


class LineParser:
    """Feed it bytes as they come, in any pieces; it gives the lines that are complete. Empty ones keep a line alive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line]
