"""Questions about jobs, and their end: jobs, cancel, why, delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from wasmgrid.cli import ids, options, several, tables
from wasmgrid.cli.connecting import client
from wasmgrid.cli.ids import Span
from wasmgrid.cli.terminal import print_json, print_table, say
from wasmgrid.core.lifecycle import JobState
from wasmgrid.sdk import arrays, calls
from wasmgrid.sdk.views import JobPage, Why


@click.command()
@click.option("--state", type=click.Choice([each.value for each in JobState]), help="Only jobs in this state.")
@click.option("--name", metavar="TEXT", help="Only jobs with this in their name.")
@click.option("-n", "--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on from a page's next_cursor.")
@options.output
@options.server
def jobs(server: str | None, output: str, limit: int, **asked: Any) -> int:
    """List jobs, newest first."""
    body = client(server).send(calls.raw(calls.jobs(limit=limit, **asked)))
    if output == options.JSON:
        return print_json(body)
    page = msgspec.json.decode(body, type=JobPage)
    listed = tables.jobs_wide if output == options.WIDE else tables.jobs
    print_table(listed(page.jobs, now=datetime.now(UTC)))
    if not page.jobs and asked["cursor"] is None:
        filters = any(value is not None for value in asked.values())
        say("no such jobs · all of them: wasmgrid jobs" if filters else "no jobs yet · run one: wasmgrid run hello.py")
    elif page.next_cursor is not None and len(page.jobs) == limit:
        say(f"there are more: --cursor {page.next_cursor}, or -n 200")
    return 0


@click.command()
@options.jobs_argument
@options.server
def cancel(jobs: Sequence[Span], server: str | None) -> int:
    """Cancel jobs: what waits is dropped, what runs is stopped."""
    connection = client(server)

    def one(number: int) -> int:
        before = connection.status(number)
        found = before if before.done else connection.cancel(number)
        if before.done:
            say(f"job {number} is {before.state} already · run it again: wasmgrid rerun {number}")
        else:
            done = found is not None and found.done
            say(f"job {number} is {found.state}" if found is not None and done else f"job {number} is being cancelled")
        return 0

    return several.each(ids.numbers(connection, jobs), one)


@click.command()
@options.jobs_argument
@options.output
@options.server
def why(jobs: Sequence[Span], output: str, server: str | None) -> int:
    """Say why a job is where it is: per worker, what does not fit, and the smallest change that would."""
    connection = client(server)
    chosen = ids.numbers(connection, jobs)

    def one(number: int) -> int:
        body = connection.send(calls.raw(calls.why(number)))
        if output == options.JSON:
            return print_json(body)
        if len(chosen) > 1:
            click.echo(f"job {number}: ", nl=False)
        click.echo(tables.why(msgspec.json.decode(body, type=Why)), nl=False)
        return 0

    return several.each(chosen, one)


@click.command()
@options.jobs_argument
@options.server
def delete(jobs: Sequence[Span], server: str | None) -> int:
    """Forget finished jobs with their results and files, for good. One that goes on is cancelled first by you."""
    connection = client(server)

    def one(number: int) -> int:
        connection.send(calls.raw(arrays.delete(number)))
        say(f"job {number} is forgotten")
        return 0

    return several.each(ids.numbers(connection, jobs), one)
