"""The tasks of a job: list them, take their results as JSON, run them again."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from wasmgrid.cli import options, render, tables
from wasmgrid.cli.connecting import client
from wasmgrid.cli.feed import Feed
from wasmgrid.cli.jobs import job_number
from wasmgrid.cli.patience import Patience
from wasmgrid.cli.terminal import print_json, say
from wasmgrid.cli.watching import watch
from wasmgrid.sdk import arrays, calls
from wasmgrid.sdk.calls import Stream
from wasmgrid.sdk.taskviews import Line, TaskPage, Value
from wasmgrid.sdk.views import Result

_failed = click.option("--failed", is_flag=True, help="Only those that did not succeed.")


@click.command()
@options.job_argument
@_failed
@click.option("--outcome", metavar="OUTCOME", help="Only those that ended so: trapped, timed_out, exited, ...")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on from a page's next_cursor.")
@options.as_json
@options.server
def tasks(
    job: int | str, failed: bool, outcome: str | None, limit: int, cursor: str | None, as_json: bool, server: str | None
) -> int:
    """List the tasks of a job that have ended, by index, with what they gave or why they did not."""
    connection = client(server)
    number = job_number(connection, job)
    call = arrays.tasks(number, failed=failed, outcome=outcome, limit=limit, cursor=cursor)
    body = connection.send(calls.raw(call))
    if as_json:
        return print_json(body)
    page = msgspec.json.decode(body, type=TaskPage)
    click.echo(tables.tasks(page.tasks), nl=False)
    if page.next_cursor is not None and len(page.tasks) == limit:
        say(f"there are more: --cursor {page.next_cursor} · all of them: wasmgrid results {number}")
    return 0


@click.command()
@options.job_argument
@_failed
@click.option("-f", "--follow", is_flag=True, help="Go on until the job's end.")
@click.option("--values", is_flag=True, help="Of a function's calls: index and return_value, nothing else.")
@options.server
def results(job: int | str, failed: bool, follow: bool, values: bool, server: str | None) -> int:
    """Print every task's result as one line of JSON (NDJSON), in the order in which they ended.

    \b
        wasmgrid results last -f | jq 'select(.exit_code != 0) | .index'
    """
    connection = client(server)
    number = job_number(connection, job)
    kind = Value if values else Result

    def call(after: int | None) -> Stream[Line]:
        return arrays.verbatim(arrays.results(number, kind, follow=follow, failed=failed, after=after))

    patience = Patience(connection, lambda: client(server), number)
    for burst in Feed(patience, number, call, failed=failed, follow=follow).bursts():
        sys.stdout.buffer.write(b"".join(line.text + b"\n" for line in burst))
        sys.stdout.buffer.flush()
    return 0


@click.command()
@options.job_argument
@_failed
@options.changes
@click.option("-q", "--quiet", is_flag=True, help="Print nothing of what the tasks write or give.")
@click.option("-d", "--detach", is_flag=True, help="Print the new job's id and return.")
@options.as_json
@options.server
def rerun(
    job: int | str, failed: bool, server: str | None, quiet: bool, detach: bool, as_json: bool, **changes: Any
) -> int:
    """Run a job again, as a new one, with what it was given; with --failed only its tasks that did not succeed.

    They keep their indexes and lines. What is named here is changed.

    \b
        wasmgrid rerun last --failed --memory-mb 2000
    """
    connection = client(server)
    given = {name: value for name, value in changes.items() if value is not None}
    again = connection.rerun(job_number(connection, job), failed=failed, **given)
    if detach:
        click.echo(again.id)
        return 0
    say(render.running(again.id))
    return watch(server, connection, again, as_json=as_json, quiet=quiet)
