"""A real browser at a real grid: Debian's Chromium, driven by playwright. Without a Chromium these tests are skipped.

What a page must never do fails the test that looked at it: a script error, a violation of its policy, a server error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright
from tests.e2e.grid import Grid
from tests.web.pages import Dashboard

FLAGS = [
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
    *("--disable-dev-shm-usage", "--no-default-browser-check"),
]
# Chromium styles what it joins while one types into the editor; that is refused, and the editor draws the line anew.
VIOLATIONS = """addEventListener("securitypolicyviolation", (event) => {
  const typing = event.effectiveDirective === "style-src-attr" && event.target.closest?.(".cm-content");
  if (!typing) violated(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
})"""
PATIENCE_MS = 60_000.0  # for a machine that is busy; nothing waits for it where all is well


def chromium() -> str | None:
    """Where the browser of this machine is."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per module: while playwright runs, nothing else in this process can have an event loop."""
    found = chromium()
    if found is None:
        pytest.skip("NO CHROMIUM HERE: the dashboard is not tested; install it: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a browser keeps once a link has signed it in."""
    state = tmp_path_factory.mktemp("browser") / "state.json"
    context = browser.new_context()
    page = context.new_page()
    page.goto(grid.text("dashboard").strip())
    page.get_by_role("heading", name="Overview").wait_for(timeout=PATIENCE_MS)
    context.storage_state(path=state)
    context.close()
    return state


@pytest.fixture
def context(browser: Browser, grid: Grid, signed_in: Path) -> Iterator[BrowserContext]:
    """A browser that is signed in; its pages do nothing that a page must never do."""
    with watched(browser.new_context(base_url=grid.url, storage_state=signed_in)) as made:
        yield made


@pytest.fixture
def dashboard(context: BrowserContext, grid: Grid) -> Dashboard:
    """A page of it, and the grid behind it."""
    return Dashboard(context.new_page(), grid)


class watched:  # noqa: N801 -- used as a function
    """A context whose pages' errors are collected, and held to be none at the end of the block."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.errors: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.expose_function("violated", lambda what: self.errors.append(what))  # noqa: PLW0108 -- it marks it
        context.add_init_script(VIOLATIONS)
        context.on("page", self._watch)

    def __enter__(self) -> BrowserContext:
        return self.context

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert not self.errors

    def _watch(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))
        page.on("response", self._answered)

    def _heard(self, message: ConsoleMessage) -> None:
        told = ("Failed to load resource", "Applying inline style violates")  # by its status; by the event
        if message.type == "error" and not message.text.startswith(told):
            self.errors.append(message.text)

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.errors.append(f"{response.status} {response.url}")
