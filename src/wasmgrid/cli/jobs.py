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
from wasmgrid.cli.terminal import Progress, print_json, print_table, say
from wasmgrid.core.lifecycle import JobState
from wasmgrid.sdk import arrays, calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job, JobPage, Why


@click.command()
@click.argument("search", required=False, metavar="[TEXT]")
@click.option(
    "--state",
    type=click.Choice([each.value for each in JobState]),
    multiple=True,
    help="Only jobs in this state; several are allowed.",
)
@click.option("--search", "searched", metavar="TEXT", help="The same as TEXT: a number, a part of a name, a language.")
@click.option("--name", metavar="TEXT", help="Only jobs with this in their name.")
@click.option("--language", type=options.Language(), metavar="NAME", help="Only jobs in this language.")
@click.option("--worker", type=options.WorkerId(), metavar="WORKER", help="Only jobs that this worker has or had.")
@click.option("--since", type=options.Moment(), metavar="TIME", help="Submitted then or later: 2h (ago), 2026-11-28.")
@click.option("--until", type=options.Moment(), metavar="TIME", help="Submitted before then.")
@click.option("--sort", type=click.Choice(["newest", "oldest", "finished"]), help="Their order. [default: newest]")
@click.option("-n", "--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on from a page's next_cursor.")
@options.output
@options.server
def jobs(
    server: str | None, output: str, search: str | None, searched: str | None, cursor: str | None, **asked: Any
) -> int:
    """List jobs, newest first; those that have TEXT in their name, language or number.

    \b
        wasmgrid jobs sweep --state failed --since 2h
        wasmgrid jobs --worker w1 --state running -o wide
    """
    if search is not None and searched is not None:
        raise click.UsageError("TEXT is --search; it cannot be both")
    asked["search"] = search or searched or None
    asked["state"] = list(asked["state"]) or None
    connection = client(server)
    if output == options.JSON:
        return print_json(connection.send(calls.raw(calls.jobs(cursor=cursor, **asked))))
    page = _found(connection, cursor, **asked)
    listed = tables.jobs_wide if output == options.WIDE else tables.jobs
    print_table(listed(page.jobs, now=datetime.now(UTC)))
    if page.next_cursor is not None:
        say(f"there are more: --cursor {page.next_cursor}" + (", or -n 200" if asked["limit"] < 200 else ""))
    elif not page.jobs and cursor is None:
        filters = any(value is not None for name, value in asked.items() if name not in {"limit", "sort"})
        say("no such jobs · all of them: wasmgrid jobs" if filters else "no jobs yet · run one: wasmgrid init")
    return 0


def _found(connection: Client, cursor: str | int | None, *, limit: int, **asked: Any) -> JobPage:
    """As many as were asked for; a search that takes long is gone on with."""
    found: list[Job] = []
    progress = Progress()
    try:
        while True:
            page = connection.send(calls.jobs(limit=limit - len(found), cursor=cursor, **asked))
            found += page.jobs
            cursor = page.next_cursor
            if not page.cut or len(found) >= limit:
                return JobPage(jobs=found, next_cursor=cursor)
            progress.say(f"searching: {len(found)} found")
    finally:
        progress.clear()


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
