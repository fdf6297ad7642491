"""Durations and byte sizes as people write them."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_duration(text: str) -> float:
    """Seconds in `30s`, `10m`, `1h30m`, `250ms` or a bare number; raises ValueError with an example."""
    parts = list(_DURATION.finditer(text.strip()))
    if not parts or "".join(part.group(0) for part in parts) != text.strip():
        raise ValueError(f"{text!r} is not a duration; write 30s, 10m or 1h30m")
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def parse_size(text: str) -> int:
    """Bytes in `16M`, `512K`, `1GiB` or a bare number (1 K = 1024); raises ValueError with an example."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write 512K, 16M or 1G")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def format_ms(ms: float) -> str:
    """A time as a person reads it: `3 ms`, `0.4 ms`, `5.00 s`, `2 m 5 s`."""
    if 0.05 <= ms < 0.95:
        return f"{ms:.1f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.2f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {seconds} s"


def format_bytes(count: float) -> str:
    """A size as a person reads it: `512 B`, `1.1 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
