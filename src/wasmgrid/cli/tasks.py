"""The tasks of a job: list them, take their results as JSON."""

from __future__ import annotations

import sys

import click
import msgspec

from wasmgrid.cli import options, tables
from wasmgrid.cli.connecting import client
from wasmgrid.cli.ids import number as job_number
from wasmgrid.cli.patience import Patience
from wasmgrid.cli.terminal import print_json, print_table, say
from wasmgrid.sdk import arrays, calls
from wasmgrid.sdk.calls import Stream
from wasmgrid.sdk.feed import Feed
from wasmgrid.sdk.taskviews import Line, TaskPage, Value
from wasmgrid.sdk.views import Result

_failed = click.option("--failed", is_flag=True, help="Only those that did not succeed.")


@click.command()
@options.job_argument
@_failed
@click.option("--outcome", metavar="OUTCOME", help="Only those that ended so: trapped, timed_out, exited, ...")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on from a page's next_cursor.")
@options.output
@options.server
def tasks(
    job: int | str, failed: bool, outcome: str | None, limit: int, cursor: str | None, output: str, server: str | None
) -> int:
    """List the tasks of a job that have ended, by index, with what they gave or why they did not."""
    connection = client(server)
    number = job_number(connection, job)
    call = arrays.tasks(number, failed=failed, outcome=outcome, limit=limit, cursor=cursor)
    body = connection.send(calls.raw(call))
    if output == options.JSON:
        return print_json(body)
    page = msgspec.json.decode(body, type=TaskPage)
    print_table(tables.tasks(page.tasks, wide=output == options.WIDE))
    if not page.tasks and cursor is None:
        which = "such task of" if failed or outcome else "task of"
        say(f"no {which} job {number} has ended · how it is: wasmgrid status {number}")
    elif page.next_cursor is not None and len(page.tasks) == limit:
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
