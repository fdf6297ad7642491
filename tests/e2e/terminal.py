"""A command in a terminal of its own: what stands on the screen, keys typed, and the size changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyte
from tests.e2e.grid import WASMGRID, Grid

_PATIENCE_S = 60.0


class Terminal:
    """Drives one command; `text` is all that it ever wrote, `screen` what stands there now."""

    def __init__(
        self, words: list[str], environment: Mapping[str, str], directory: Path, rows: int, columns: int
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.text = ""
        self.process = subprocess.Popen(
            [WASMGRID, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environment), cwd=directory,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- no threads here
        )  # fmt: skip
        os.close(theirs)

    @property
    def screen(self) -> str:
        """The lines that stand there, without the space behind them."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def until(self, text: str | Callable[[], bool]) -> None:
        """Read on until `text` stands on the screen."""
        ends_at = time.monotonic() + _PATIENCE_S
        while not (text in self.screen if isinstance(text, str) else text()):
            assert self._read(), f"it ended without {text!r}:\n{self.text}"
            assert time.monotonic() < ends_at, f"no {text!r} on:\n{self.screen}"

    def type(self, keys: str) -> None:
        """As a person would."""
        os.write(self._ours, keys.encode())

    def ends(self) -> int:
        """Its exit code, once it has ended by itself."""
        ends_at = time.monotonic() + _PATIENCE_S
        while self._read():
            assert time.monotonic() < ends_at, f"it goes on:\n{self.screen}"
        return self.process.wait(_PATIENCE_S)

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        """What comes within a moment; False where no more will."""
        ready, _, _ = select.select([self._ours], [], [], 0.1)
        if not ready:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self.text += data.decode("utf-8", "replace")
        self._stream.feed(data)
        return bool(data)


@contextlib.contextmanager
def typed(
    grid: Grid, *words: str, rows: int = 24, columns: int = 100, variables: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """`wasmgrid WORDS` in a terminal, until the end of the block."""
    plain = {key: value for key, value in grid.environment.items() if key not in {"NO_COLOR", "COLUMNS", "LINES"}}
    environment = {**plain, "TERM": "xterm-256color", **(variables or {})}
    terminal = Terminal(list(words), environment, grid.directory, rows, columns)
    try:
        yield terminal
    finally:
        terminal.close()
