"""The progress of many tasks on stderr: a bar on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TextIO

from wasmgrid.cli.terminal import GuestOutput, neutralised
from wasmgrid.sdk.counts import Counts
from wasmgrid.sdk.meter import Meter

if TYPE_CHECKING:  # 0.1 s to import, for what is drawn only
    from rich.progress import Progress, TaskID

DELAY_S = 0.7  # what is over by then is never drawn
LINE_S = 5.0  # between lines where there is no terminal
HELD_BYTES = 256 * 1024  # of output, at most, before it is written


class Bar:
    """Draws what it is told. `quiet` draws nothing; use it in a `with`, so that the terminal is left as it was."""

    def __init__(
        self, total: int, *, quiet: bool = False, stream: TextIO | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock or time.monotonic
        self._quiet = quiet
        self._meter = Meter(total)
        self._drawn: tuple[Progress, TaskID] | None = None
        self._next_at = self._clock() + (DELAY_S if self._stream.isatty() else LINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def see(self, counts: Counts) -> None:
        """So far it is."""
        now = self._clock()
        self._meter.see(counts, now)
        if self._quiet:
            return
        if self._drawn is not None:
            progress, task = self._drawn
            progress.update(task, completed=counts.ended, text=self._meter.text())
        elif now >= self._next_at and counts.ended < counts.total:
            if self._stream.isatty():
                self._drawn = self._draw(counts)
            else:
                self._stream.write(self._meter.text() + "\n")
                self._stream.flush()
                self._next_at = now + LINE_S

    def close(self) -> None:
        """Take it away: what follows is said below what was said before."""
        if self._drawn is not None:
            self._drawn[0].stop()
            self._drawn = None
            self._quiet = True

    def above(self, text: str) -> bool:
        """Print whole lines above the bar, where one is drawn."""
        if self._drawn is not None:
            self._drawn[0].console.out(text, end="", highlight=False)
        return self._drawn is not None

    def _draw(self, counts: Counts) -> tuple[Progress, TaskID]:
        from rich.console import Console  # noqa: PLC0415 -- see above
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 -- see above

        columns = (BarColumn(bar_width=30), TextColumn("{task.fields[text]}", markup=False))
        # 4 a second: the bar must not take time from what it shows
        progress = Progress(
            *columns, console=Console(file=self._stream), refresh_per_second=4, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        progress.start()
        return progress, progress.add_task("", total=counts.total, completed=counts.ended, text=self._meter.text())


class Printer:
    """What tasks wrote, on its way to stdout: as it is into a file or a pipe, by whole lines above the bar."""

    def __init__(self, bar: Bar, stream: TextIO | None = None) -> None:
        self._bar = bar
        self._stream = stream or sys.stdout
        self._output = GuestOutput(self._stream)
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """More of it, shown with the next `flush`."""
        self._held.append(data)
        self._size += len(data)
        if self._size >= HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Show what was held back; on a terminal all but a line that has no end yet."""
        data, self._held, self._size = b"".join(self._held), [], 0
        if not data:
            return
        if not self._stream.isatty():
            self._output.write(data)
            return
        shown, newline, rest = data.rpartition(b"\n")
        text = neutralised((shown + newline).decode("utf-8", "replace").replace("\r\n", "\n"))
        if not self._bar.above(text):
            self._stream.write(text)
            self._stream.flush()
        self._held = [rest] if rest else []

    def finish(self) -> None:
        """No more will come, and no bar is drawn any more."""
        self.flush()
        if self._held:
            self._output.write(b"".join(self._held))
            self._held = []
        self._output.finish()
        if self._output.mid_line and sys.stderr.isatty():
            sys.stderr.write("\n")
