"""The grid's own affairs, asked of a server: prune, version."""

from __future__ import annotations

import click
import msgspec

from wasmgrid import __version__
from wasmgrid.cli import options
from wasmgrid.cli.connecting import client
from wasmgrid.cli.terminal import one_line, print_json
from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk import calls, views


@click.command()
@options.output
@options.server
def version(output: str, server: str | None) -> int:
    """Print the version of this client, and of the server where one can be reached."""
    try:
        theirs, said = client(server).send(calls.version()).version, ""
    except WasmgridError as error:
        theirs, said = None, f"none ({error.message})"
    if output == options.JSON:
        return print_json(msgspec.json.encode({"client": __version__, "server": theirs}))
    click.echo(f"wasmgrid {__version__}\nserver {one_line(theirs or said)}")
    return 0


@click.command()
@click.option("--results-age", "results_age_s", type=options.Duration(), help="Finished jobs older than this go.")
@click.option("--results", "results_bytes", type=options.Size(), help="Oldest jobs go while all hold more than this.")
@click.option("--builds-age", "builds_age_s", type=options.Duration(), help="Builds unused for so long go.")
@click.option("--builds", "builds_bytes", type=options.Size(), help="Least used builds go while all hold more.")
@click.option("--grace", "grace_s", type=options.Duration(), help="Nothing younger than this goes.")
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@options.output
@options.server
def prune(output: str, server: str | None, dry_run: bool, **bounds: float | None) -> int:
    """Remove old results, builds and files, never what is still used. What is not said has the server's default."""
    policy: dict[str, object] = {key: value for key, value in bounds.items() if value is not None}
    body = client(server).send(calls.raw(calls.prune(policy | {"dry_run": dry_run})))
    if output == options.JSON:
        return print_json(body)
    gone = msgspec.json.decode(body, type=views.Pruned)
    verb = "would go" if gone.dry_run else "gone"
    click.echo(
        f"{verb}: {gone.jobs} jobs, {gone.builds} builds, {gone.modules} modules, {gone.blobs} files "
        f"({format_bytes(gone.bytes)})"
    )
    return 0
