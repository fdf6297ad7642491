"""`build`: source in, .wasm out, nothing run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from wasmgrid.cli import ending, options, render
from wasmgrid.cli.connecting import client_or_start, submitted
from wasmgrid.cli.fetching import save
from wasmgrid.cli.following import waiting_for
from wasmgrid.cli.jobflags import source_flags
from wasmgrid.cli.requesting import program_of
from wasmgrid.cli.terminal import Progress, one_line, say, wants_colour
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.units import format_bytes, format_ms
from wasmgrid.sdk import calls, prepare
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job


@click.command()
@click.argument("program", metavar="FILE|DIRECTORY|-")
@source_flags
@click.option("-o", "--output", metavar="FILE|-", help="Where it goes (default: NAME.wasm; - is stdout).")
@options.server
def build(program: str, output: str | None, server: str | None, **source: Any) -> int:
    """Compile FILE, a project's DIRECTORY, or source from standard input (-) to a .wasm, and run nothing.

    What the compiler says goes to stderr. Exit code 126 where it refuses the source.
    """
    name = "stdin" if program == "-" else Path(program).resolve().name
    prepared = prepare.job(
        **program_of(program, source["language"]), name=f"build {name}"[:200], build_only=True, **source
    )
    if prepared.spec.source is None:
        raise InvalidField(f"{name} is a .wasm already", hint=f"run it: wasmgrid run {program}", field="source")
    connection = client_or_start(server)
    job = _built(connection, submitted(connection, prepared).id)
    if job.module_sha256 is None:
        return ending.tell(job, connection)
    said = connection.send(calls.diagnostics(job.id))
    sys.stderr.write(render.diagnostics(said, colour=wants_colour(sys.stderr)))
    if output == "-":
        connection.download(calls.module(job.id), sys.stdout.buffer)
    else:
        target = Path(output or f"{Path(name).stem}.wasm")
        size = save(connection, calls.module(job.id), target, sha256=job.module_sha256)
        click.echo(one_line(f"{target}  {format_bytes(size)}  sha256 {job.module_sha256}  {_how(job)}"), err=True)
    return 0


def _built(connection: Client, job_id: int) -> Job:
    """The job once it has its module, or failed; what it waits for is said meanwhile."""
    progress = Progress()
    try:
        for job in connection.stream(calls.events(job_id)):
            if not job.done:
                progress.say(waiting_for(job))
        return connection.wait(job_id)
    except KeyboardInterrupt:
        progress.clear()
        say(f"job {job_id} goes on · then: wasmgrid wasm {job_id} · end it: wasmgrid cancel {job_id}")
        raise
    finally:
        progress.clear()


def _how(job: Job) -> str:
    view = job.build
    if view is None:
        return ""
    how = "cached" if view.cached or view.build_ms is None else f"compiled in {format_ms(view.build_ms)}"
    return how + (f" by {view.toolchain}" if view.toolchain else "")
