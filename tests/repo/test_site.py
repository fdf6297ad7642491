"""The site builds strictly (a dead link, a missing anchor, a page outside the navigation fail) and fetches nothing."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: make setup")
    out = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.docs", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR", "Aborted"))]
    assert done.returncode == 0, "\n".join(said or [done.stderr]) + "\na new page belongs into nav in mkdocs.yml"
    return out / "site"


class _Fetched(HTMLParser):
    """What a browser fetches for a page, without a click."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "link" and named.get("rel") in {"canonical", "prev", "next"}:
            return
        self.found += [value for name in (FETCHED.get(tag), "srcset", "style") if name and (value := named.get(name))]


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        parser = _Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.found
        assert not [each for each in parser.found if "//" in each], page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()[\s'\"]*(?:https?:)?//[^)]*", sheet.read_text(encoding="utf-8")), sheet


def test_no_page_makes_the_themes_scripts_fetch_anything(site: Path) -> None:
    """They would ask a public host for the drawing of mermaid's pictures, and another for the stars of a repository."""
    for page in site.rglob("*.html"):
        assert not re.search(r'class="[^"]*\bmermaid\b|data-md-component="source"', page.read_text(encoding="utf-8")), (
            page
        )
