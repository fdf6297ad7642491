"""Numbers as a line of small bars, or one as a longer bar; in ASCII where the terminal knows no more. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BARS, _ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


def spark(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """The last `width` of `values`, each a bar; the highest is full, and what is not zero can be seen."""
    bars = _ASCII_BARS if ascii_only else _BARS
    shown = values[-width:]
    most = max(shown, default=0.0)
    steps = len(bars) - 1
    drawn = [bars[max(1, round(value / most * steps))] if value > 0 else bars[0] for value in shown]
    return "".join(drawn).rjust(width)


def bar(used: float, total: float, width: int, *, ascii_only: bool = False) -> str:
    """`used` of `total`, as so many characters."""
    full, empty = ("#", "-") if ascii_only else ("█", "░")
    filled = 0 if total <= 0 else min(width, max(1 if used > 0 else 0, round(used / total * width)))
    return full * filled + empty * (width - filled)
