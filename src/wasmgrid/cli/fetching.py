"""What a job left, onto this machine: its .wasm and its artifacts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from click.shell_completion import CompletionItem

from wasmgrid.cli import ids, options, several, tables
from wasmgrid.cli.connecting import client
from wasmgrid.cli.ids import Span
from wasmgrid.cli.terminal import one_line, print_json, print_table, say
from wasmgrid.cli.transfer import Transfer
from wasmgrid.core.errors import InvalidPath, NotFound
from wasmgrid.core.job import Artifact
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk import calls
from wasmgrid.sdk.calls import Download
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.saving import below, replacing
from wasmgrid.sdk.views import Artifacts


@click.command()
@options.job_argument
@click.option(
    "-o",
    "--output",
    type=options.FileName(),
    metavar="FILE|-",
    help="Where to write it (default: ID.wasm; - is stdout).",
)
@options.server
def wasm(job: int | str, output: str | None, server: str | None) -> int:
    """Download the .wasm that a job ran. Run again, here or under any WASI runtime, it does the same."""
    connection = client(server)
    shown = connection.status(ids.number(connection, job))
    if shown.module_sha256 is None:
        raise NotFound(f"job {shown.id} has no module ({shown.state})", hint=f"see why: wasmgrid status {shown.id}")
    if output == "-":
        connection.download(calls.module(shown.id), sys.stdout.buffer)
        return 0
    target = Path(output or f"{shown.id}.wasm")
    size = save(connection, calls.module(shown.id), target, sha256=shown.module_sha256, size=shown.module_bytes)
    click.echo(f"{one_line(str(target))}  {format_bytes(size)}  sha256 {shown.module_sha256}", err=True)
    return 0


class _Into(click.ParamType[str]):
    """A directory, or one of the formats in which they are listed."""

    name = "directory"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """Directories, by the shell itself."""
        return [CompletionItem(incomplete, type="dir")]


@click.command()
@options.jobs_argument
@click.option(
    "-o", "--output", "into", type=_Into(), metavar="DIR|table|wide|json", help="Download to DIR, or how to list them."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --output json.")
@options.task_index
@options.server
def artifacts(jobs: Sequence[Span], into: str | None, index: int | None, as_json: bool, server: str | None) -> int:
    """List the files that jobs left in /out, or download them all into DIR (of several jobs, into DIR/ID).

    \b
        wasmgrid artifacts last
        wasmgrid artifacts last -o results
    """
    connection = client(server)
    output = into if into in options.FORMATS else options.JSON if as_json else options.TABLE
    directory = None if into is None or into in options.FORMATS else Path(into)
    chosen = ids.numbers(connection, jobs)

    def one(number: int) -> int:
        body = connection.send(calls.raw(calls.artifacts(number, index=index)))
        found = msgspec.json.decode(body, type=Artifacts).artifacts
        if output == options.JSON:
            print_json(body)
        elif directory is None and found:
            print_table(tables.artifacts(found, wide=output == options.WIDE))
        if directory is not None:
            _download(connection, number, found, directory / str(number) if len(chosen) > 1 else directory, index)
        elif not found and output != options.JSON:
            say(f"job {number} left no files; a program leaves them in /out")
        return 0

    return several.each(chosen, one)


def _download(connection: Client, number: int, found: Sequence[Artifact], into: Path, index: int | None) -> None:
    if into.exists() and not into.is_dir():
        raise InvalidPath(f"{into} is a file", hint="name a directory: -o DIR", field="output")
    for each in found:
        target = below(into, each.path)
        save(connection, calls.artifact(number, each.path, index=index), target, sha256=each.sha256, size=each.bytes)
        say(str(target))


def save(
    connection: Client, call: Download, target: Path, *, sha256: str | None = None, size: int | None = None
) -> int:
    """Download into `target`, which is replaced as a whole or not at all; returns its size.

    A link that stands at `target` is replaced, not followed. `size`, in bytes, is what is expected, for whoever looks
    on. Raises `DigestMismatch` where other bytes came.
    """
    with replacing(target, sha256) as file, Transfer(target.name, size) as transfer:
        return connection.download(call, transfer.counted(file))
