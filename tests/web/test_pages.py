"""Every page in light and dark, wide and narrow: nothing over the edge, nothing that jumps, all in reach of a keyboard.

What they look like is kept in .cache/screenshots, to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e import programs
from tests.e2e.grid import Grid
from tests.web.conftest import watched
from tests.web.pages import Dashboard
from tests.web.test_jobs import MIXED_C, submit

SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
LONG = "a-name-that-has-no-place-to-break-and-goes-on-for-longer-than-any-telephone-is-wide"
FOCUSED = "((at) => (at.getAttribute('aria-label') || at.textContent || '').trim())(document.activeElement)"
NAMELESS = """() => {
  const controls = document.querySelectorAll("a, button, input:not([hidden]), select, textarea, [tabindex='0']");
  const named = (each) => each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length;
  return [...controls].filter((each) => !each.closest(".cm-editor") && !named(each)).map((each) => each.outerHTML);
}"""
WIDTHS = {"wide": (1280, 900), "narrow": (360, 780)}
PAGES = {
    "overview": ("/", "Newest jobs"),
    "jobs": ("/jobs", "Submitted"),
    "jobs-none": ("/jobs?search=no-job-is-called-this", "No job is like that"),
    "job": ("/jobs/{job}", "Statistics"),
    "job-failed": ("/jobs/{failed}", "Diagnostics"),
    "job-waits": ("/jobs/{waits}", "would fit with"),
    "array": ("/jobs/{array}", "Failures"),
    "workers": ("/workers", "Labels"),
    "toolchains": ("/toolchains", "Version"),
    "new": ("/new", "Copy as"),
    "no-such-job": ("/jobs/999999", "no job"),
}


@pytest.fixture(scope="module")
def shown(grid: Grid) -> Iterator[dict[str, int]]:
    """Jobs of every sort, by name."""
    array = submit(grid, "mixed.c", MIXED_C, "--array", "0-1499")
    failed = submit(grid, "broken.c", programs.BROKEN_C)
    long = submit(grid, f"{LONG}.wat", programs.prints("x" * 500), "--", LONG * 3)
    job = submit(grid, "kitchen.c", programs.KITCHEN_C, "--env", "COLOUR=green")
    for each, state in ((array, "failed"), (failed, "failed"), (job, "failed"), (long, "succeeded")):
        grid.wait_state(each, state)
    waits = submit(grid, "hello.wat", programs.exits(0), "--gpus", "3")
    yield {"array": array, "failed": failed, "job": job, "waits": waits, "long": long}
    grid.text("cancel", str(waits))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_is_kept_to_be_looked_at(
    browser: Browser, grid: Grid, signed_in: Path, shown: dict[str, int], width: str, colours: Literal["light", "dark"]
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    size = {"width": WIDTHS[width][0], "height": WIDTHS[width][1]}
    with watched(
        browser.new_context(
            base_url=grid.url,
            storage_state=signed_in,
            viewport=size,  # type: ignore[arg-type]
            color_scheme=colours,
            reduced_motion="reduce",
        )
    ) as context:
        page = context.new_page()
        for name, (path, sign) in {**PAGES, "job-long": ("/jobs/{long}", "Statistics")}.items():
            page.goto(path.format(**shown))
            expect(page.get_by_text(sign).first).to_be_attached()
            settle(page)
            page.screenshot(path=SCREENSHOTS / f"{name}-{colours}-{width}.png", full_page=True)
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, f"{name} is {over} px wider than the window"
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(14, 15, 18)") is (colours == "dark")
    with watched(browser.new_context(base_url=grid.url, viewport=size, color_scheme=colours)) as stranger:  # type: ignore[arg-type]
        page = stranger.new_page()
        page.goto("/")
        expect(page.get_by_role("heading", name="Sign in to this grid")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / f"sign-in-{colours}-{width}.png", full_page=True)


def settle(page: Page) -> None:
    """Wait until nothing more is loaded and nothing is busy; a page with streams is never idle on the network."""
    page.evaluate("document.fonts.ready.then(() => true)")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator(".viewer:not(:has(.cm-content)), .editor:not([hidden]):not(:has(.cm-line))")).to_have_count(0)
    for end in ("document.body.scrollHeight", "0"):  # what is out of sight is drawn when it is looked at
        page.evaluate(f"scrollTo(0, {end})")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_the_colours_can_be_chosen_and_stay(dashboard: Dashboard) -> None:
    page = dashboard.open("/workers")
    page.emulate_media(color_scheme="light")
    body = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(body)
    switch = page.get_by_role("button", name="Colours:")
    switch.click()
    switch.click()
    assert page.evaluate(body) != light
    page.reload()
    expect(switch).to_have_attribute("aria-label", "Colours: dark. Change")
    assert page.evaluate(body) != light


def test_nothing_jumps_as_data_arrives(browser: Browser, grid: Grid, signed_in: Path, shown: dict[str, int]) -> None:
    """By the browser's own measure; 0.1 is what is called good of pages that load."""
    with watched(browser.new_context(base_url=grid.url, storage_state=signed_in)) as context:
        context.add_init_script(
            """window.jumped = 0;
            new PerformanceObserver((list) => {
              for (const each of list.getEntries()) if (!each.hadRecentInput) jumped += each.value;
            }).observe({ type: "layout-shift", buffered: true });"""
        )
        page = context.new_page()
        for name in ("overview", "jobs", "job", "array", "workers", "new"):
            path, sign = PAGES[name]
            page.goto(path.format(**shown))
            expect(page.get_by_text(sign).first).to_be_attached()
            settle(page)
            assert page.evaluate("jumped") < 0.1, name


def test_a_program_is_run_and_a_job_found_without_a_mouse(dashboard: Dashboard, shown: dict[str, int]) -> None:
    page = dashboard.open("/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Jobs").first).not_to_be_focused()
    reach(page, "Jobs")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    reach(page, f"{shown['job']} kitchen.c")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("kitchen.c")
    page.goto(f"{dashboard.grid.url}/new")
    expect(page.get_by_role("textbox", name="Source of the program")).to_contain_text("fn main")
    page.get_by_role("textbox", name="Source of the program").focus()
    page.keyboard.press("Escape")  # then Tab leaves the editor
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.cm-editor') === null")
    page.get_by_role("textbox", name="Source of the program").focus()
    page.keyboard.press("ControlOrMeta+Enter")
    dashboard.sees(dashboard.pane, "succeeded")


def reach(page: Page, name: str) -> None:
    """Press Tab until what has this name is in focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused == name:
            return
    pytest.fail(f"{name} is not reached by Tab")


def test_every_control_has_a_name(dashboard: Dashboard, shown: dict[str, int]) -> None:
    for path, sign in PAGES.values():
        page = dashboard.open(path.format(**shown))
        expect(page.get_by_text(sign).first).to_be_attached()
        assert page.evaluate(NAMELESS) == []
