"""`run` and `submit`: one request, made the same way; `run` stays for the output."""

from __future__ import annotations

import sys
from typing import Any

import click

from wasmgrid.cli import jobfile, options, render
from wasmgrid.cli.connecting import client_or_start, submitted
from wasmgrid.cli.jobflags import job_flags
from wasmgrid.cli.requesting import prepared
from wasmgrid.cli.terminal import print_json, say
from wasmgrid.cli.watching import watch
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.prepare import Prepared
from wasmgrid.sdk.views import Job

_PROGRAM = "FILE|DIRECTORY|JOB.toml|-"


@click.command()
@click.argument("program", metavar=_PROGRAM, type=options.FileName())
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@job_flags
@click.option("-q", "--quiet", is_flag=True, help="Print nothing of what the program writes or gives.")
@click.option("-d", "--detach", is_flag=True, help="Return as soon as the job has its id.")
@options.as_json
@options.server
def run(program: str, server: str | None, quiet: bool, detach: bool, as_json: bool, **given: Any) -> int:
    """Run FILE, a project's DIRECTORY, a .wasm, a JOB.toml, or source from standard input (-).

    The program's output goes to stdout and stderr as it comes, its exit code is passed through, and one line on stderr
    says what it took. Ctrl-C detaches (the job goes on), twice cancels.

    With --array, --each-line or --from-json it is many tasks: what each writes comes whole and in the order of their
    indexes, and the exit code is 0 where all of them succeeded, else 1. With --function the source holds a plain
    function; what it returns is printed: text as it is, anything else as JSON, of many calls one line of JSON each
    (null for one that failed). A job file holds all that the flags can say (wasmgrid init writes one); what is given
    beside it counts before it.

    \b
        wasmgrid run hello.rs -- first second
        wasmgrid run main.c --input data.csv --time-limit 30s
        wasmgrid run add.rs --function add -- 2 3
        wasmgrid run render.rs --array 0-999 -- --frame {index}
        wasmgrid run score.c --each-line names.txt -- --name {line}
        wasmgrid run add.rs --function add --from-json pairs.json > sums.ndjson
        wasmgrid run job.toml --memory-mb 2000
    """
    request = _request(program, given)
    connection = client_or_start(server)
    job = submitted(connection, request)
    say(render.running(job.id))
    _warn(job)
    if detach:
        return _print_job(connection, job) if as_json else 0
    return watch(server, connection, job, as_json=as_json, quiet=quiet)


@click.command()
@click.argument("program", metavar=_PROGRAM, type=options.FileName())
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@job_flags
@options.as_json
@options.server
def submit(program: str, server: str | None, as_json: bool, **given: Any) -> int:
    """Submit a program or a JOB.toml as `run` does, print the job's id on stdout, and return.

    \b
        id=$(wasmgrid submit hello.rs) && wasmgrid wait $id
    """
    request = _request(program, given)
    connection = client_or_start(server)
    job = submitted(connection, request)
    _warn(job)
    if as_json:
        return _print_job(connection, job)
    try:
        click.echo(job.id)
        sys.stdout.flush()
    except OSError:
        say(f"job {job.id} was submitted")
        raise
    return 0


def _request(program: str, given: dict[str, Any]) -> Prepared:
    return prepared(*jobfile.merged(click.get_current_context(), program, given))


def _print_job(connection: Client, job: Job) -> int:
    return print_json(connection.send(calls.raw(calls.job(job.id))))


def _warn(job: Job) -> None:
    for warning in job.warnings:
        say(f"warning: {warning}")
