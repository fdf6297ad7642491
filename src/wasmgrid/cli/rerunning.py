"""`rerun`: jobs again, as new ones, with whatever is named changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from wasmgrid.cli import exits, ids, options, render, requesting, several
from wasmgrid.cli.connecting import client
from wasmgrid.cli.ids import Span
from wasmgrid.cli.jobflags import changes
from wasmgrid.cli.terminal import say
from wasmgrid.cli.transfer import Transfer
from wasmgrid.cli.watching import watch
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job, Spec

_ARGS = "wasmgrid.args"


class _WithArguments(click.Command):
    """What stands behind `--` is the program's, not more ids."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the program's arguments aside."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_ARGS] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(
    cls=_WithArguments, options_metavar="[OPTIONS]", epilog="Behind -- stand other arguments of the program."
)
@options.jobs_argument
@click.option("--failed", is_flag=True, help="Only their tasks that did not succeed.")
@changes
@click.option("-q", "--quiet", is_flag=True, help="Print nothing of what the tasks write or give.")
@click.option("-d", "--detach", is_flag=True, help="Print the new jobs' ids and return.")
@options.as_json
@options.server
def rerun(
    jobs: Sequence[Span], failed: bool, server: str | None, quiet: bool, detach: bool, as_json: bool, **given: Any
) -> int:
    """Run jobs again, as new ones, with what they were given; with --failed only their tasks that did not succeed.

    They keep their indexes and lines. What is named here is changed; variables and labels are added to those there
    were.

    \b
        wasmgrid rerun last --memory-mb 2000
        wasmgrid rerun 21 --failed --time-limit 1m
        wasmgrid rerun 12-15 -- other arguments
    """
    context = click.get_current_context()
    changed = {
        name: value
        for name, value in given.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if _ARGS in context.meta:
        changed["args"] = context.meta[_ARGS]
    connection = client(server)
    started: list[Job] = []

    def again(number: int) -> int:
        started.append(_again(connection, number, changed, failed=failed))
        say(render.running(started[-1].id)) if not detach else click.echo(started[-1].id)
        return 0

    code = several.each(ids.numbers(connection, jobs), again)
    if detach:
        return code
    return exits.of_several([code, *(watch(server, connection, job, as_json=as_json, quiet=quiet) for job in started)])


def _again(connection: Client, number: int, changed: Mapping[str, Any], *, failed: bool) -> Job:
    """The new job; what it needs of this machine is uploaded before."""
    if not changed:
        return connection.rerun(number, failed=failed)
    old = connection.status(number).spec if requesting.DEPENDENT & set(changed) else Spec()
    overrides, blobs = requesting.changes(old, changed)
    with Transfer("uploading", sum(blob.size for blob in blobs.values())) as transfer:
        for blob in transfer.uploaded(blobs).values():
            if not connection.send(calls.has_blob("inputs", blob.sha256)):
                connection.send(calls.put_blob("inputs", blob))
    return connection.rerun(number, failed=failed, **overrides)
