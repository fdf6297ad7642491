"""How jobs are, and their end awaited: status, wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click
import msgspec

from wasmgrid.cli import ending, ids, options, render, several, statuswatch, tables, watching
from wasmgrid.cli.connecting import client
from wasmgrid.cli.following import Follower
from wasmgrid.cli.ids import Span
from wasmgrid.cli.terminal import print_json, print_table, say
from wasmgrid.core.errors import TimedOutWaiting, WasmgridError
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job


@click.command()
@options.jobs_argument
@click.option("-w", "--watch", is_flag=True, help="Go on until they are finished: redrawn, or a line for each change.")
@options.output
@options.server
def status(jobs: Sequence[Span], watch: bool, output: str, server: str | None) -> int:
    """Show jobs: what they are called, whether they are finished, how long they ran and what they wrote; then the rest.

    \b
        wasmgrid status last
        wasmgrid status 12-15,20 --output wide
        wasmgrid status last --watch
    """
    connection = client(server)
    chosen = ids.numbers(connection, jobs)
    if watch:
        return statuswatch.until_finished(connection, lambda: client(server), chosen, output=output)
    if output == options.WIDE:
        found: list[Job] = []
        code = several.each(chosen, lambda number: found.append(connection.status(number)) or 0)  # type: ignore[func-returns-value]
        print_table(tables.jobs_wide(found, now=datetime.now(UTC)))
        return code
    return several.each(chosen, lambda number: _show(connection, number, output))


def _show(connection: Client, number: int, output: str) -> int:
    body = connection.send(calls.raw(calls.job(number)))
    if output == options.JSON:
        return print_json(body)
    shown = msgspec.json.decode(body, type=Job)
    now = datetime.now(UTC)
    live = _live_head(connection, shown) if shown.state == "running" and not shown.is_array else b""
    click.echo(render.status_block(shown, now=now, live_head=live) + render.status_details(shown, now=now), nl=False)
    return 0


@click.command()
@options.jobs_argument
@click.option("--timeout", type=options.Duration(), help="Give up waiting after this; the job goes on.")
@options.output
@options.server
def wait(jobs: Sequence[Span], timeout: float | None, output: str, server: str | None) -> int:
    """Wait for the end of jobs; the exit code is that of `run`: the program's own, or what stopped it.

    Of several it is 0 where all went well, else what the others agree on, else 1.
    """
    connection = client(server)
    chosen = ids.numbers(connection, jobs)

    def one(number: int) -> int:
        if timeout is not None:
            left = connection.wait(number, timeout_s=timeout)
            if not left.done:
                hint = f"why: wasmgrid why {number}"
                raise TimedOutWaiting(f"job {number} is {left.state} after {timeout:g} s", hint=hint)
        follower = Follower(connection, lambda: client(server), number)
        try:
            watching.until_done(follower.patience, connection.status(number), drawn=output != options.JSON)
            body = follower.finished()
        except KeyboardInterrupt:
            say(f"job {number} goes on · wait again: wasmgrid wait {number} · end it: wasmgrid cancel {number}")
            raise
        if output == options.JSON:
            print_json(body)
        finished = msgspec.json.decode(body, type=Job)
        if output == options.WIDE:
            print_table(tables.jobs_wide([finished], now=datetime.now(UTC)))
        return ending.tell(finished, follower.patience.client)

    return several.each(chosen, one)


def _live_head(connection: Client, job: Job) -> bytes:
    """What a running job wrote so far, at most a block's worth; nothing where that cannot be had now."""
    head = b""
    try:
        for chunk in connection.stream(calls.logs(job.id, follow=False)):
            if chunk.stream == "stdout":
                head += chunk.data
            if chunk.stream == "end" or len(head) > render.HEAD_BYTES:
                break
    except WasmgridError:
        return head
    return head
