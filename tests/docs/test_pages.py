"""Every code block of the documents is run, page by page and in order; docs/writing.md has the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.blocks import blocks, indented, own_grid
from tests.docs.page import Page, furnish
from tests.docs.page import own_grid as empty_home
from tests.e2e.grid import Grid

ROOT = Path(__file__).parents[2]
HELD_ELSEWHERE = {"examples/README.md": "tests/repo/test_examples.py", "CHANGELOG.md": "it has no code"}
PAGES = [
    page
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if str(page.relative_to(ROOT)) not in HELD_ELSEWHERE
]
RUN = [page for page in PAGES if any("not run" not in block.notes for block in blocks(page))]
MOST_NOT_RUN = 40


def named(page: Path) -> str:
    """A page as the report names it."""
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def shared(grid: Grid) -> Grid:
    """The session's grid, where the compilers are that the pages use."""
    ready = {each["language"] for each in json.loads(grid.text("toolchain", "list", "--json"))["toolchains"]
             if each["state"] in {"ready", "builtin"}}  # fmt: skip
    missing = {"rust", "c", "cpp", "go", "zig"} - ready
    if missing:
        pytest.skip(f"no toolchain for {', '.join(sorted(missing))} on this machine: wasmgrid toolchain install")
    return grid


@pytest.fixture
def at(request: pytest.FixtureRequest, shared: Grid, tmp_path: Path) -> Iterator[Grid]:
    """The grid at which a page is run, and a directory with examples/."""
    if own_grid(request.param):
        with empty_home(tmp_path) as grid:
            furnish(grid.directory)
            yield grid
    else:
        furnish(tmp_path)
        yield Grid(home=shared.home, directory=tmp_path, pid=shared.pid, url=shared.url, token=shared.token)


@pytest.mark.parametrize("at", RUN, indirect=True, ids=named)
def test_a_page_does_what_it_shows(at: Grid, request: pytest.FixtureRequest) -> None:
    path: Path = request.node.callspec.params["at"]
    page = Page(path, at, own=own_grid(path))
    try:
        page.run()
    finally:
        page.close()
    assert not page.failures, "\n\n".join(["what is shown is not what came (docs/writing.md):", *page.failures])


def test_what_is_not_run_says_why_and_is_little() -> None:
    reasons = [f"{named(page)}:{block.line}: {block.notes['not run']}" for page in PAGES for block in blocks(page)
               if "not run" in block.notes]  # fmt: skip
    print(f"{len(reasons)} blocks are not run:", *reasons, sep="\n  ")
    assert len(reasons) <= MOST_NOT_RUN
    for reason in reasons:
        for test in re.findall(r"tests/[\w/.]*\w", reason):
            assert (ROOT / test).exists(), reason


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_code_stands_in_fences_with_a_language(page: Path) -> None:
    assert not indented(page), "write ```console, ```sh, ```python, ```text, ... around it"
    assert not [block.line for block in blocks(page) if not block.language]
