"""What a job left, onto this machine: its .wasm and its artifacts."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import click

from wasmgrid.cli import options, tables
from wasmgrid.cli.connecting import client
from wasmgrid.cli.jobs import job_number
from wasmgrid.cli.terminal import one_line, print_json
from wasmgrid.core.errors import DigestMismatch, InvalidPath, NotFound
from wasmgrid.core.paths import check_relative
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk import calls
from wasmgrid.sdk.calls import Download
from wasmgrid.sdk.client import Client


@click.command()
@options.job_argument
@click.option("-o", "--output", metavar="FILE|-", help="Where to write it (default: ID.wasm; - is stdout).")
@options.server
def wasm(job: int | str, output: str | None, server: str | None) -> int:
    """Download the .wasm that a job ran. Run again, here or under any WASI runtime, it does the same."""
    connection = client(server)
    shown = connection.status(job)
    if shown.module_sha256 is None:
        raise NotFound(f"job {shown.id} has no module ({shown.state})", hint=f"wasmgrid status {shown.id}")
    if output == "-":
        connection.download(calls.module(shown.id), sys.stdout.buffer)
        return 0
    target = Path(output or f"{shown.id}.wasm")
    size = save(connection, calls.module(shown.id), target, sha256=shown.module_sha256)
    click.echo(f"{one_line(str(target))}  {format_bytes(size)}  sha256 {shown.module_sha256}", err=True)
    return 0


@click.command()
@options.job_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Download to DIR."
)
@options.task_index
@options.as_json
@options.server
def artifacts(job: int | str, output: Path | None, index: int | None, as_json: bool, server: str | None) -> int:
    """List the files that a job left in /out, or download them all into DIR."""
    connection = client(server)
    number = job_number(connection, job)
    if as_json:
        print_json(connection.send(calls.raw(calls.artifacts(number, index=index))))
    found = connection.send(calls.artifacts(number, index=index)).artifacts
    if output is None:
        if not as_json:
            click.echo(tables.artifacts([(each.path, each.bytes, each.sha256) for each in found]), nl=False)
        return 0
    for each in found:
        target = below(output, each.path)
        save(connection, calls.artifact(number, each.path, index=index), target, sha256=each.sha256)
        click.echo(one_line(str(target)), err=True)
    return 0


def save(connection: Client, call: Download, target: Path, *, sha256: str | None = None) -> int:
    """Download into `target`, which is replaced as a whole or not at all; returns its size.

    A link that stands at `target` is replaced, not followed. Raises `DigestMismatch` where other bytes came.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            written = Path(file.name)
            try:
                size = connection.download(call, file.file)
                _check(file, sha256, target)
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                written.replace(target)
            except BaseException:
                written.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InvalidPath(f"{target} cannot be written: {error.strerror}", field="output") from error
    return size


def below(directory: Path, path: str) -> Path:
    """Where an artifact goes: below `directory`, through no link, whatever a server calls it."""
    check_relative(path, field="artifacts")
    here = directory
    for part in path.split("/")[:-1]:
        here /= part
        if here.is_symlink():
            raise InvalidPath(f"{here} is a symbolic link", hint="download into another directory: -o DIR")
    return directory / path


def _check(file: IO[bytes], sha256: str | None, target: Path) -> None:
    if sha256 is None:
        return
    file.flush()
    with Path(file.name).open("rb") as again:
        found = hashlib.file_digest(again, "sha256").hexdigest()
    if found != sha256:
        raise DigestMismatch(f"{target.name} arrived with the digest {found}, not {sha256}", hint="try again")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
