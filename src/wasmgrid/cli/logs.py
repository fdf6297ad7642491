"""`logs`: what a job wrote, or what its compiler said."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from wasmgrid.cli import ids, options, render, several, taskoutput
from wasmgrid.cli.bar import Bar
from wasmgrid.cli.connecting import client
from wasmgrid.cli.following import Follower, waiting_for
from wasmgrid.cli.ids import Span
from wasmgrid.cli.terminal import say, wants_colour
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client


@click.command()
@options.jobs_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job's end.")
@click.option("--build", is_flag=True, help="What the compiler said, instead.")
@options.task_index
@options.server
def logs(jobs: Sequence[Span], follow: bool, build: bool, index: int | None, server: str | None) -> int:
    """Print what jobs wrote: their stdout on stdout, their stderr on stderr, all that was kept; one after the other.

    Of an array it is the stdout of all tasks (of a function's calls what they gave), in the order of their indexes;
    with --index all that this one wrote.
    """
    connection = client(server)
    chosen = ids.numbers(connection, jobs)
    return several.each(
        chosen, lambda number: _print(connection, server, number, follow=follow, build=build, index=index)
    )


def _print(connection: Client, server: str | None, number: int, *, follow: bool, build: bool, index: int | None) -> int:
    shown = connection.status(number)
    if build:
        said = connection.send(calls.diagnostics(shown.id))
        click.echo(render.diagnostics(said, colour=wants_colour(sys.stdout)), nl=False, color=True)
        if not said.strip():
            say(f"the compiler said nothing about job {number}")
        return 0
    follower = Follower(connection, lambda: client(server), shown.id, index=index)
    if follow:
        follower.until_started()
    if shown.is_array and index is None:
        with Bar(shown.task_count, quiet=not follow) as bar:
            taskoutput.pass_on(follower.patience, shown, bar, follow=follow)
    else:
        follower.output(follow=follow)
    if not follow and not shown.done:
        say(f"job {number} goes on ({waiting_for(shown)}) · follow it: wasmgrid logs -f {number}")
    return 0
