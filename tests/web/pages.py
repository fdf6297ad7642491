"""The dashboard as tests use it: by what a person sees, names and roles, not by how it is made."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect
from tests.e2e.grid import Grid


@dataclass
class Dashboard:
    """One tab, and the grid behind it."""

    page: Page
    grid: Grid

    def open(self, path: str) -> Page:
        """Go to an address of it."""
        self.page.goto(f"{self.grid.url}{path}")
        return self.page

    def write(self, source: str, *, name: str | None = None) -> None:
        """Replace what is in the editor of the page of a new job, whatever is there."""
        self.open("/new")
        editor = self.page.get_by_role("textbox", name="Source of the program")
        expect(editor).to_contain_text("fn main")  # the first starter
        if name is not None:
            self.page.get_by_label("File name").fill(name)
            self.page.get_by_label("File name").blur()
        editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def run(self) -> None:
        """Press Run."""
        self.page.get_by_role("button", name="Run", exact=False).first.click()

    @property
    def output(self) -> Locator:
        """Where the program's output shows on the page of a new job."""
        return self.page.get_by_role("log", name="Output of the program")

    @property
    def pane(self) -> Locator:
        """All that is said of the job that this page runs."""
        return self.page.get_by_role("region", name="Run", exact=True)

    def sees(self, locator: Locator, text: str) -> None:
        """Wait until it shows the text."""
        expect(locator).to_contain_text(text)

    def job_id(self) -> int:
        """The number of the job that this page runs."""
        link = self.pane.get_by_role("link").first
        expect(link).to_contain_text("job")
        return int((link.text_content() or "").removeprefix("job ").strip())
