"""Questions about jobs, and their end: status, wait, jobs, cancel, why."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from wasmgrid.cli import ending, options, render, tables, watching
from wasmgrid.cli.connecting import client
from wasmgrid.cli.following import Follower
from wasmgrid.cli.terminal import print_json, say
from wasmgrid.core.errors import TimedOutWaiting, WasmgridError
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job, JobPage, Why


@click.command()
@options.job_argument
@options.as_json
@options.server
def status(job: int | str, as_json: bool, server: str | None) -> int:
    """Show a job: what it is called, whether it is finished, how long it ran and what it wrote; then all the rest."""
    connection = client(server)
    body = connection.send(calls.raw(calls.job(job)))
    if as_json:
        return print_json(body)
    shown = msgspec.json.decode(body, type=Job)
    now = datetime.now(UTC)
    live = _live_head(connection, shown) if shown.state == "running" and not shown.is_array else b""
    click.echo(render.status_block(shown, now=now, live_head=live) + render.status_details(shown, now=now), nl=False)
    return 0


@click.command()
@options.job_argument
@click.option("--timeout", type=options.Duration(), help="Give up waiting after this; the job goes on.")
@options.as_json
@options.server
def wait(job: int | str, timeout: float | None, as_json: bool, server: str | None) -> int:
    """Wait for a job's end; the exit code is that of `run`: the program's own, or what stopped it."""
    connection = client(server)
    number = job_number(connection, job)
    if timeout is not None:
        left = connection.wait(number, timeout_s=timeout)
        if not left.done:
            hint = f"why: wasmgrid why {number}"
            raise TimedOutWaiting(f"job {number} is {left.state} after {timeout:g} s", hint=hint)
    follower = Follower(connection, lambda: client(server), number)
    watching.until_done(follower.patience, connection.status(number), drawn=not as_json)
    body = follower.finished()
    if as_json:
        print_json(body)
    return ending.tell(msgspec.json.decode(body, type=Job), follower.patience.client)


@click.command()
@click.option("--state", metavar="STATE", help="Only jobs in this state.")
@click.option("--name", metavar="NAME", help="Only jobs of this name.")
@click.option("-n", "--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on from a page's next_cursor.")
@options.as_json
@options.server
def jobs(state: str | None, name: str | None, limit: int, cursor: str | None, as_json: bool, server: str | None) -> int:
    """List jobs, newest first."""
    call = calls.jobs(state=state, name=name, limit=limit, cursor=cursor)
    body = client(server).send(calls.raw(call))
    if as_json:
        return print_json(body)
    page = msgspec.json.decode(body, type=JobPage)
    click.echo(tables.jobs(page.jobs, now=datetime.now(UTC)), nl=False)
    return 0


@click.command()
@click.argument("jobs", type=options.JobId(), nargs=-1, required=True, metavar="ID|last...")
@options.server
def cancel(jobs: tuple[int | str, ...], server: str | None) -> int:
    """Cancel jobs: what waits is dropped, what runs is stopped."""
    connection = client(server)
    for each in jobs:
        number = job_number(connection, each)
        found = connection.cancel(number)
        say(
            f"job {number} is {found.state}" if found is not None and found.done else f"job {number} is being cancelled"
        )
    return 0


@click.command()
@options.job_argument
@options.as_json
@options.server
def why(job: int | str, as_json: bool, server: str | None) -> int:
    """Say why a job is where it is: per worker, what does not fit, and the smallest change that would."""
    connection = client(server)
    body = connection.send(calls.raw(calls.why(job_number(connection, job))))
    if as_json:
        return print_json(body)
    click.echo(tables.why(msgspec.json.decode(body, type=Why)), nl=False)
    return 0


def job_number(connection: Client, job: int | str) -> int:
    """The number of a job that may have been called `last`."""
    return job if isinstance(job, int) else connection.status(job).id


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
