"""Quantiles of what was measured, and its shape as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from wasmgrid.core.units import format_ms

_BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a column
WIDTH = 40
ROWS = 10


def quantile(values: Sequence[float], share: float) -> float:
    """The least of `values` (in order) that a `share` of them does not exceed."""
    return values[min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))]


def rows(values: Sequence[float]) -> list[str]:
    """`values` (milliseconds, in order) as a bar for each of some equal steps; the last has the one in 100 beyond."""
    low, high = values[0], quantile(values, 0.99)
    step = (high - low) / ROWS
    if step <= 0:
        return [_row(low, len(values), len(values))]
    counts = [0] * (ROWS + 1)
    for value in values:
        counts[min(ROWS, int((value - low) / step))] += 1
    last = ROWS + 1 if counts[ROWS] else ROWS
    return [_row(low + step * row, counts[row], max(counts), more=row == ROWS) for row in range(last)]


def _row(start: float, count: int, most: int, *, more: bool = False) -> str:
    label = ("over " if more else "") + _ms(start)
    whole, eighths = divmod(round(8 * WIDTH * count / most), 8)
    bar = _BLOCKS[8] * whole + (_BLOCKS[eighths] if eighths else "")
    return f"{label:>14} {bar} {count}".rstrip()


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value < 100 else format_ms(value)
