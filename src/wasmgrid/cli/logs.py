"""`logs`: what a job wrote, or what its compiler said."""

from __future__ import annotations

import sys

import click

from wasmgrid.cli import options, render, taskoutput
from wasmgrid.cli.bar import Bar
from wasmgrid.cli.connecting import client
from wasmgrid.cli.following import Follower
from wasmgrid.cli.terminal import wants_colour
from wasmgrid.sdk import calls


@click.command()
@options.job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job's end.")
@click.option("--build", is_flag=True, help="What the compiler said, instead.")
@options.task_index
@options.server
def logs(job: int | str, follow: bool, build: bool, index: int | None, server: str | None) -> int:
    """Print what a job wrote: its stdout on stdout, its stderr on stderr, all that was kept.

    Of an array it is the stdout of all tasks (of a function's calls what they gave), in the order of their indexes;
    with --index all that this one wrote.
    """
    connection = client(server)
    shown = connection.status(job)
    if build:
        said = connection.send(calls.diagnostics(shown.id))
        click.echo(render.diagnostics(said, colour=wants_colour(sys.stdout)), nl=False, color=True)
        return 0
    follower = Follower(connection, lambda: client(server), shown.id, index=index)
    if follow:
        follower.until_started()
    if shown.is_array and index is None:
        with Bar(shown.task_count, quiet=not follow) as bar:
            taskoutput.pass_on(follower.patience, shown, bar, follow=follow)
    else:
        follower.output(follow=follow)
    return 0
