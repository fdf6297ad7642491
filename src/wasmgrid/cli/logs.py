"""`logs`: what a job wrote, or what its compiler said."""

from __future__ import annotations

import sys

import click

from wasmgrid.cli import options, render
from wasmgrid.cli.connecting import client
from wasmgrid.cli.following import Follower
from wasmgrid.cli.jobs import job_number
from wasmgrid.cli.terminal import wants_colour
from wasmgrid.sdk import calls


@click.command()
@options.job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job's end.")
@click.option("--build", is_flag=True, help="What the compiler said, instead.")
@options.server
def logs(job: int | str, follow: bool, build: bool, server: str | None) -> int:
    """Print what a job wrote: its stdout on stdout, its stderr on stderr, all that was kept."""
    connection = client(server)
    number = job_number(connection, job)
    if build:
        said = connection.send(calls.diagnostics(number))
        click.echo(render.diagnostics(said, colour=wants_colour(sys.stdout)), nl=False, color=True)
        return 0
    follower = Follower(connection, lambda: client(server), number)
    if follow:
        follower.until_started()
    follower.output(follow=follow)
    return 0
