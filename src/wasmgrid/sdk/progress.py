"""The progress of a `map`: a bar on a terminal (rich), one in a notebook (its own HTML), or nothing."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from wasmgrid.sdk.counts import Counts
from wasmgrid.sdk.meter import Meter

if TYPE_CHECKING:  # 0.1 s to import, for what is drawn only
    from rich.progress import Progress, TaskID

DELAY_S = 0.5  # what is over by then is never drawn
EVERY_S = 0.25


class Shown:
    """Counts results, and draws nothing. Use it in a `with`."""

    def __init__(self, total: int) -> None:
        self._meter = Meter(total)
        self._total = total
        self._done = 0
        self._next_at = time.monotonic() + DELAY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, count: int) -> None:
        """So many more have ended."""
        self._done += count
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + EVERY_S
            self._meter.see(Counts(total=self._total, succeeded=self._done), now)
            self.draw()

    def draw(self) -> None:
        """Show how far it is."""

    def close(self) -> None:
        """No more will come."""


class Bar(Shown):
    """A bar on stderr, which goes when it is over."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._drawn: tuple[Progress, TaskID] | None = None

    def draw(self) -> None:
        """Show how far it is."""
        if self._drawn is None:
            self._drawn = self._begun()
        progress, task = self._drawn
        progress.update(task, completed=self._done, text=self._meter.text())

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._drawn is not None:
            self._drawn[0].stop()
            self._drawn = None

    def _begun(self) -> tuple[Progress, TaskID]:
        from rich.console import Console  # noqa: PLC0415 -- see above
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 -- see above

        columns = (BarColumn(bar_width=30), TextColumn("{task.fields[text]}", markup=False))
        # what a program prints meanwhile goes above the bar, but never onto stderr what was sent into a file
        progress = Progress(
            *columns, console=Console(file=sys.stderr), refresh_per_second=4, transient=True,
            redirect_stdout=sys.stdout.isatty(), redirect_stderr=False,
        )  # fmt: skip
        progress.start()
        return progress, progress.add_task("", total=self._total, text="")


class NotebookBar(Shown):
    """A bar below the cell, which stays when it is over."""

    def __init__(self, total: int, display: Any) -> None:
        super().__init__(total)
        self._display = display
        self._handle: Any = None

    def draw(self) -> None:
        """Show how far it is."""
        text = self._meter.text()
        html = f"<progress max='{self._total}' value='{self._done}'></progress> {text}"
        bundle = {"text/plain": text, "text/html": html}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def close(self) -> None:
        """Show how far it came."""
        if self._handle is not None:
            self._meter.see(Counts(total=self._total, succeeded=self._done), time.monotonic())
            self.draw()


def drawn(total: int, wanted: bool | None) -> Shown:
    """What shows the progress of `total` tasks; `wanted` None: where somebody looks."""
    if wanted is False:
        return Shown(total)
    display = _notebook()
    if display is not None:
        return NotebookBar(total, display)
    return Bar(total) if wanted or sys.stderr.isatty() else Shown(total)


def _notebook() -> Any:
    """IPython's `display`, where this runs in a notebook's kernel; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    return import_module("IPython.display").display
