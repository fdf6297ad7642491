"""What reaches a person's terminal. Nothing that a guest, a name or a message holds may steer it (hostile row 48)."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import IO, TextIO

from wasmgrid.core.printable import JSON_CONTROLS as JSON_CONTROLS  # noqa: PLC0414 -- said as terminal.JSON_CONTROLS
from wasmgrid.core.printable import neutralised as neutralised  # noqa: PLC0414 -- said as terminal.neutralised
from wasmgrid.core.printable import one_line as one_line  # noqa: PLC0414 -- said as terminal.one_line


class GuestOutput:
    """A guest's output on its way to one of our streams: raw into a file or a pipe, neutralised on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if stream.isatty() else None
        self._held = ""  # a \r whose \n may still come
        self.mid_line = False  # on a terminal, whether the cursor stands behind text

    def write(self, data: bytes) -> None:
        """The next bytes, whatever they are: a character may be cut anywhere."""
        if self._decoder is None:
            self._put(data)
            return
        self._text(self._decoder.decode(data))

    def finish(self) -> None:
        """No more will come."""
        if self._decoder is not None:
            held, self._held = self._held, ""
            self._text(self._decoder.decode(b"", final=True) + held.replace("\r", "\\r"))

    def _text(self, text: str) -> None:
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        shown = neutralised(text.removesuffix("\r").replace("\r\n", "\n"))
        if shown:
            self.mid_line = not shown.endswith("\n")
            self._put(shown.encode(self._stream.encoding or "utf-8", "backslashreplace"))

    def _put(self, data: bytes) -> None:
        self._stream.flush()
        raw: IO[bytes] = self._stream.buffer
        raw.write(data)
        raw.flush()


class Progress:
    """One line on stderr that says what is being waited for: redrawn on a terminal, printed once elsewhere.

    Shown after `delay_s`, so that what passes at once is never seen.
    """

    def __init__(self, stream: TextIO | None = None, *, delay_s: float | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = redraws(self._stream)
        self._delay_s = delay_s if delay_s is not None else (0.2 if self._terminal else 1.0)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._said = ""

    def say(self, text: str) -> None:
        """Wait for this from now on."""
        if text == self._said:
            return
        self._stop()
        self._said = text
        self._timer = threading.Timer(self._delay_s, self._draw, [text])
        self._timer.daemon = True
        self._timer.start()

    def clear(self) -> None:
        """Nothing is waited for; the line is free for others."""
        self._stop()
        self._said = ""
        if self._terminal:
            with self._lock:
                self._write("\r\x1b[K")

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            with contextlib.suppress(RuntimeError):  # Ctrl-C came before it had begun
                timer.join()

    def _draw(self, text: str) -> None:
        with self._lock:
            if self._terminal:
                width = shutil.get_terminal_size().columns - 1
                self._write("\r\x1b[K" + one_line(text)[:width])
            else:
                self._write(one_line(text) + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour what goes to `stream`: a terminal, and nobody said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on a terminal what is waited for, where it takes more than a moment."""
    progress = Progress(delay_s=0.7) if redraws(sys.stderr) else None
    try:
        if progress is not None:
            progress.say(text)
        yield
    finally:
        if progress is not None:
            progress.clear()


def redraws(stream: TextIO) -> bool:
    """Whether what stands on `stream` can be drawn anew: a terminal that knows how to move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def print_table(text: str) -> None:
    """Lines on stdout; on a terminal each is cut where that ends, for a wrapped table is none."""
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        text = "".join(cut(line, columns) + "\n" for line in text.splitlines())
    sys.stdout.write(text)
    sys.stdout.flush()


def cut(line: str, columns: int) -> str:
    """As much of `line` as so many columns hold, with an ellipsis where that is not all of it."""
    if line.isascii():
        return line if len(line) <= columns else line[: columns - 1] + "…"
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 -- only such text needs it

    widths = [0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in line]
    if sum(widths) <= columns:
        return line
    used = 0
    for at, width in enumerate(widths):
        used += width
        if used > columns - 1:
            return line[:at] + "…"
    return line


def say(text: str) -> None:
    """One line for the person, on stderr."""
    with contextlib.suppress(OSError):  # where nothing can be said, the exit code still says something
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()


def print_json(body: bytes) -> int:
    """The server's own JSON on stdout, one line."""
    sys.stdout.buffer.write(body.rstrip() + b"\n")
    return 0
