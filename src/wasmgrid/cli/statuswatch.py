"""`status --watch`: jobs until they are finished, drawn anew on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from wasmgrid.cli import arraytext, options, render, tables
from wasmgrid.cli.patience import AWAY, Patience
from wasmgrid.cli.terminal import one_line, print_json, redraws
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job

if TYPE_CHECKING:  # 0.1 s to import, for what is drawn only
    from rich.live import Live
    from rich.text import Text

EVERY_S = 0.5


def until_finished(connection: Client, connect: Callable[[], Client], numbers: Sequence[int], *, output: str) -> int:
    """Watch the jobs until nothing about them will change."""
    patience = Patience(connection, connect, numbers[0])
    drawn = redraws(sys.stdout) and output != options.JSON
    seen: dict[int, Job] = {}
    with _live() if drawn else nullcontext() as live:
        while True:
            for number in numbers:
                before = seen.get(number)
                if before is not None and before.done:
                    continue
                body = _asked(patience, number)
                seen[number] = msgspec.json.decode(body, type=Job)
                if not drawn and (before is None or changed(before, seen[number])):
                    print_json(body) if output == options.JSON else click.echo(line(seen[number], datetime.now(UTC)))
                    sys.stdout.flush()
            if live is not None:
                shown = picture(list(seen.values()), now=datetime.now(UTC), wide=output == options.WIDE)
                live.update(_text(shown), refresh=True)
            if all(job.done for job in seen.values()):
                return 0
            time.sleep(EVERY_S)


def picture(jobs: Sequence[Job], *, now: datetime, wide: bool = False) -> str:
    """All of it, as `status` shows one job and `jobs` several."""
    if len(jobs) == 1 and not wide:
        return render.status_block(jobs[0], now=now) + render.status_details(jobs[0], now=now)
    return (tables.jobs_wide if wide else tables.jobs)(jobs, now=now)


def line(job: Job, now: datetime) -> str:
    """Where a job is, for a log: `2026-11-28T20:04:05Z job 12 running · 100 tasks: 45 succeeded, 2 running`."""
    parts = [f"job {job.id} {job.state}" + (f": {job.state_reason}" if job.state_reason else "")]
    parts += [arraytext.counted(job)] if job.is_array else []
    parts += [render.outcome(job)] if job.done and not job.is_array else []
    return one_line(f"{render.when(now)} {' · '.join(parts)}")


def changed(before: Job, now: Job) -> bool:
    """Whether a person would be told of it."""
    return (before.state, before.state_reason, before.task_counts) != (now.state, now.state_reason, now.task_counts)


def _asked(patience: Patience, number: int) -> bytes:
    while True:
        try:
            body = patience.client.send(calls.raw(calls.job(number)))
        except AWAY as error:
            patience.try_again(error)
            continue
        patience.heard()
        return body


def _live() -> AbstractContextManager[Live]:
    from rich.console import Console  # noqa: PLC0415 -- see above
    from rich.live import Live  # noqa: PLC0415 -- see above

    return Live(console=Console(file=sys.stdout, highlight=False), auto_refresh=False, vertical_overflow="crop")


def _text(shown: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 -- see above

    return Text(shown.expandtabs(4).rstrip("\n"), no_wrap=True, overflow="ellipsis")
