"""The tutorial's picture shows the tutorial's numbers, which come out of its runs (test_pages.py)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def curve() -> dict[float, float]:
    """p -> share, out of the picture: its line begins at p = 0.5 with no run, and ends at 0.698 with every one."""
    picture = (DOCS / "sweep.svg").read_text(encoding="utf-8")
    line = re.search(r'<path d="(M[^"]+)"[^>]*style="fill: none; stroke: #0f766e', picture)
    assert line is not None
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", line[1])]
    assert len(points) == 100
    (left, bottom), (right, top) = points[0], points[-1]
    return {
        round(0.5 + 0.198 * (x - left) / (right - left), 3): round((bottom - y) / (bottom - top), 4) for x, y in points
    }


def told() -> list[tuple[float, float]]:
    """The same, out of the page's text."""
    page = (DOCS / "tutorial-sweep.md").read_text(encoding="utf-8")
    found = re.findall(r"^p = ([\d.]+): +(\d+)% of 100 runs span", page, re.MULTILINE)
    return [(float(p), int(share) / 100) for p, share in found]


@pytest.mark.parametrize(("p", "share"), told())
def test_the_picture_shows_the_numbers_of_the_page(p: float, share: float) -> None:
    assert curve()[p] == pytest.approx(share, abs=1e-4)
