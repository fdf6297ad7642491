"""An input as a person names it, apart from what packs it: commands that send nothing need not load that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GivenInput:
    """`--input PATH[:/guest[:rw]]` in its parts."""

    path: Path
    guest: str | None = None
    writable: bool = False

    @classmethod
    def parse(cls, text: str) -> GivenInput:
        """`data.csv`, `data:/in/data`, `data:/work:rw`, `data:rw`."""
        rest, colon, last = text.rpartition(":")
        writable = bool(colon) and last == "rw"
        if colon and last in {"rw", "ro"}:
            text = rest
        path, colon, guest = text.rpartition(":/")
        if not colon:
            return cls(Path(text), None, writable)
        return cls(Path(path), "/" + guest, writable)


@dataclass(frozen=True)
class GivenBytes:
    """Bytes that the program finds as a file at `guest`."""

    data: bytes
    guest: str
    writable: bool = False
