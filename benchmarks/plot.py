"""Small charts as SVG, side by side: enough for a handful of measured points, without a plotting library.

`draw` makes lines over counts, `bars` makes named values on a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, GAP, ROW = 240, 150, 52, 34, 70, 22
STYLE = (
    "text{font:11px sans-serif;fill:#333}.t{font-weight:bold}.a{stroke:#999;fill:none}.g{stroke:#e4e4e4}"
    ".l{stroke:#1f6feb;stroke-width:2;fill:none}.p{fill:#1f6feb}.m{stroke:#c0392b;stroke-dasharray:5 4;fill:none}"
)


@dataclass(frozen=True)
class Panel:
    """One chart: a value for each of the counts; `promised` is drawn as a dashed line."""

    title: str
    values: Sequence[float]
    promised: float | None = None


@dataclass(frozen=True)
class Bars:
    """One chart: a value per name, from one on; the first name's value is drawn as a dashed line through the others."""

    title: str
    values: dict[str, float]


def draw(counts: Sequence[int], panels: Sequence[Panel], *, unit: str = "workers") -> str:
    """The panels over the same counts (of `unit`, on a logarithmic axis), as an SVG document."""
    width = LEFT + len(panels) * (WIDTH + GAP)
    height = TOP + HEIGHT + 44
    groups = [
        f'<g transform="translate({LEFT + number * (WIDTH + GAP)},{TOP})">{_panel(counts, panel, unit)}</g>'
        for number, panel in enumerate(panels)
    ]
    return _document(width, height, groups)


def bars(charts: Sequence[Bars]) -> str:
    """The charts side by side, their names once at the left, as an SVG document."""
    names = list(dict.fromkeys(name for chart in charts for name in chart.values))
    left, height = 150, len(names) * ROW
    groups = [
        f'<text x="{left - 8}" y="{TOP + ROW * at + ROW - 7}" text-anchor="end">{escape(name)}</text>'
        for at, name in enumerate(names)
    ]
    for number, chart in enumerate(charts):
        group = _bars(names, chart, height)
        groups.append(f'<g transform="translate({left + number * (WIDTH + GAP)},{TOP})">{group}</g>')
    return _document(left + len(charts) * (WIDTH + GAP), TOP + height + 14, groups)


def _document(width: int, height: int, groups: Sequence[str]) -> str:
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">']
    parts += [f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="white"/>', *groups]
    return "\n".join([*parts, "</svg>", ""])


def _bars(names: Sequence[str], chart: Bars, height: int) -> str:
    most = math.log(max(2.0, *chart.values.values()))
    parts = [f'<text class="t" x="0" y="-14">{escape(chart.title)}</text>']
    for at, name in enumerate(names):
        value = chart.values.get(name)
        long = WIDTH * math.log(value) / most if value is not None and value > 1 else 0.0
        words = "left out" if value is None else f"{value:,.0f}"
        parts.append(f'<rect class="p" x="0" y="{ROW * at + 3}" width="{long:.1f}" height="{ROW - 6}"/>')
        parts.append(f'<text x="{long + 5:.1f}" y="{ROW * at + ROW - 7}">{words}</text>')
    limit = WIDTH * math.log(max(1.0, next(iter(chart.values.values())))) / most
    parts.append(f'<path class="m" d="M{limit:.1f} 0V{height}"/>')
    parts.append(f'<path class="a" d="M0 0V{height}"/>')
    return "".join(parts)


def _panel(counts: Sequence[int], panel: Panel, unit: str) -> str:
    most = _round_up(max(*panel.values, panel.promised or 0.0))
    span = math.log(counts[-1] / counts[0])
    points = [
        (WIDTH * math.log(count / counts[0]) / span, HEIGHT * (1 - value / most))
        for count, value in zip(counts, panel.values, strict=True)
    ]
    parts = [f'<text class="t" x="0" y="-14">{escape(panel.title)}</text>']
    for part in range(5):
        y = HEIGHT * (1 - part / 4)
        parts.append(f'<path class="g" d="M0 {y:.1f}H{WIDTH}"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{most * part / 4:,.0f}</text>')
    for (x, _), count in zip(points, counts, strict=True):
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{count:,}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 34}" text-anchor="middle">{escape(unit)}</text>')
    if panel.promised is not None:
        parts.append(f'<path class="m" d="M0 {HEIGHT * (1 - panel.promised / most):.1f}H{WIDTH}"/>')
    parts.append(f'<path class="a" d="M0 0V{HEIGHT}H{WIDTH}"/>')
    parts.append(f'<path class="l" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')
    parts += [f'<circle class="p" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    return "".join(parts)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value))
