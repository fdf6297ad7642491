"""`top`: the grid as it is now, drawn anew every second until q."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from wasmgrid.cli import options
from wasmgrid.cli.connecting import client
from wasmgrid.cli.patience import AWAY
from wasmgrid.cli.terminal import print_json, redraws, wants_colour
from wasmgrid.cli.topframe import SORTS, Line, Look, Seen, frame
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.meter import Meter
from wasmgrid.sdk.views import Job

if TYPE_CHECKING:  # 0.1 s to import, for what is drawn only
    from rich.text import Text

_ACTIVE = ("running", "queued", "building")
_MOST_JOBS = 50
_ONCE_COLUMNS = 120  # where nothing says how wide


@click.command()
@click.option("--once", is_flag=True, help="Print one frame and return; no terminal is needed.")
@click.option("--every", "every_s", type=options.Duration(), default="1s", show_default=True, help="Between frames.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="name", show_default=True, help="How workers stand.")
@click.option("--json", "as_json", is_flag=True, help="The numbers of one frame as JSON (GET /v1/overview).")
@options.server
def top(once: bool, every_s: float, sort: str, as_json: bool, server: str | None) -> int:
    """Watch the grid: workers, queue, running jobs, rates. q quits, s sorts otherwise, p pauses."""
    connection = client(server)
    if as_json:
        return print_json(connection.send(calls.raw(calls.overview())))
    if not once and not (redraws(sys.stdout) and sys.stdin.isatty()):
        raise click.UsageError("top draws on a terminal; one frame for anything else: wasmgrid top --once")
    watched = Watched(connection, lambda: client(server))
    look = Look(columns=_ONCE_COLUMNS, sort=sort, ascii_only=_ascii_only())
    if once:
        columns = shutil.get_terminal_size((_ONCE_COLUMNS, 24)).columns
        return _print(frame(watched.look(), replace(look, columns=columns, keys=False), datetime.now(UTC).astimezone()))
    try:
        return _live(watched, look, max(every_s, 0.1))
    except KeyboardInterrupt:
        return 0


class Watched:
    """A grid that is asked again and again; `connect` finds its server where that came back under another address."""

    def __init__(self, connection: Client, connect: Callable[[], Client]) -> None:
        self._connection = connection
        self._connect = connect
        self._meters: dict[int, Meter] = {}
        self._last: Seen | None = None

    def look(self) -> Seen:
        """As it is now; as it was where nobody answers, and that. Raises where there was never an answer."""
        try:
            self._last = self._asked()
        except AWAY as error:
            if self._last is None:
                raise
            self._last = replace(self._last, trouble=f"{error.message}; trying again")
            with contextlib.suppress(*AWAY):
                self._connection = self._connect()
        return self._last

    def _asked(self) -> Seen:
        jobs = self._connection.send(calls.jobs(state=_ACTIVE, limit=_MOST_JOBS)).jobs
        return Seen(
            server=self._connection.url,
            overview=self._connection.send(calls.overview()),
            workers=self._connection.workers(),
            jobs=sorted(jobs, key=lambda job: (_ACTIVE.index(job.state) if job.state in _ACTIVE else 9, -job.id)),
            rates=self._rates(jobs),
        )

    def _rates(self, jobs: Sequence[Job]) -> dict[int, float]:
        """Tasks a second, of each array."""
        now = time.monotonic()
        self._meters = {job.id: self._meters.get(job.id) or Meter(job.task_count) for job in jobs if job.is_array}
        for job in jobs:
            if job.is_array:
                self._meters[job.id].see(job.counts, now)
        return {number: each.rate for number, each in self._meters.items()}


def _live(watched: Watched, look: Look, every_s: float) -> int:
    from rich.console import Console  # noqa: PLC0415 -- see above
    from rich.live import Live  # noqa: PLC0415 -- see above

    console = Console(file=sys.stdout, highlight=False, no_color=None if wants_colour(sys.stdout) else True)
    seen = watched.look()  # before the screen is taken: an error is said below the command
    orders = list(SORTS)
    with _keys(), Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live:
        asked_at = time.monotonic()
        while True:
            size = console.size
            shown = replace(look, columns=size.width, rows=size.height)
            live.update(_text(frame(seen, shown, datetime.now(UTC).astimezone())), refresh=True)
            key = _key(max(0.0, asked_at + every_s - time.monotonic()))
            if key in {"q", "Q", "\x04", "\x1b"}:
                return 0
            if key in {"s", "S"}:
                look = replace(look, sort=orders[(orders.index(look.sort) + 1) % len(orders)])
            elif key in {"p", "P", " "}:
                look = replace(look, paused=not look.paused)
            if time.monotonic() >= asked_at + every_s:
                asked_at = time.monotonic()
                seen = seen if look.paused else watched.look()


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Keys as they are typed, unseen; the terminal as it was afterwards."""
    import termios  # noqa: PLC0415 -- not everywhere, and only top reads keys
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _key(timeout_s: float) -> str:
    """The key that is typed within `timeout_s`, else an empty text."""
    ready, _, _ = select.select([sys.stdin], [], [], timeout_s)
    if not ready:
        return ""
    typed = os.read(sys.stdin.fileno(), 16).decode("utf-8", "replace")
    if not typed:
        return "q"  # nobody is there any more
    return typed if len(typed) == 1 else ""  # an arrow is several, and means nothing here


def _text(lines: Sequence[Line]) -> Text:
    from rich.text import Text  # noqa: PLC0415 -- see above

    text = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for part, style in line:
            text.append(part, style=style or None)
    return text


def _print(lines: Sequence[Line]) -> int:
    if wants_colour(sys.stdout):
        from rich.console import Console  # noqa: PLC0415 -- see above

        Console(file=sys.stdout, highlight=False).print(_text(lines), soft_wrap=True)
    else:
        for line in lines:
            click.echo("".join(part for part, _ in line).rstrip())
    return 0


def _ascii_only() -> bool:
    try:
        "█░▁".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
