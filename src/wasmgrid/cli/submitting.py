"""`run` and `submit`: one request, made the same way; `run` stays for the output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from wasmgrid.cli import arrayflags, options, render
from wasmgrid.cli.connecting import client_or_start
from wasmgrid.cli.terminal import print_json, say
from wasmgrid.cli.watching import watch
from wasmgrid.core.errors import LanguageUnknown
from wasmgrid.core.job import Base64
from wasmgrid.sdk import calls, packing, prepare
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job


@click.command()
@click.argument("program", metavar="FILE|DIRECTORY|-")
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@options.job_flags
@arrayflags.array_flags
@options.source_flags
@click.option("-q", "--quiet", is_flag=True, help="Print nothing of what the program writes or gives.")
@click.option("-d", "--detach", is_flag=True, help="Return as soon as the job has its id.")
@options.as_json
@options.server
def run(program: str, server: str | None, quiet: bool, detach: bool, as_json: bool, **given: Any) -> int:
    """Run FILE, a project's DIRECTORY, a .wasm, or source from standard input (-).

    The program's output goes to stdout and stderr as it comes, its exit code is passed through, and one line on stderr
    says what it took. Ctrl-C detaches (the job goes on), twice cancels.

    With --array, --each-line or --from-json it is many tasks: what each writes comes whole and in the order of their
    indexes, and the exit code is 0 where all of them succeeded, else 1. With --function the source holds a plain
    function; what it returns is printed: text as it is, anything else as JSON, of many calls one line of JSON each
    (null for one that failed).

    \b
        wasmgrid run hello.rs -- first second
        wasmgrid run main.c --input data.csv --time-limit 30s
        wasmgrid run add.rs --function add -- 2 3
        wasmgrid run render.rs --array 0-999 -- --frame {index}
        wasmgrid run score.c --each-line names.txt -- --name {line}
        wasmgrid run add.rs --function add --from-json pairs.json > sums.ndjson
    """
    prepared = _prepare(program, **given)
    connection = client_or_start(server)
    job = connection.submit_spec(prepared.spec, prepared.blobs)
    say(render.running(job.id))
    _warn(job)
    if detach:
        return _print_job(connection, job) if as_json else 0
    return watch(server, connection, job, as_json=as_json, quiet=quiet)


@click.command()
@click.argument("program", metavar="FILE|DIRECTORY|-")
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@options.job_flags
@arrayflags.array_flags
@options.source_flags
@options.as_json
@options.server
def submit(program: str, server: str | None, as_json: bool, **given: Any) -> int:
    """Submit a program as `run` does, print the job's id on stdout, and return.

    \b
        id=$(wasmgrid submit hello.rs) && wasmgrid wait $id
    """
    prepared = _prepare(program, **given)
    connection = client_or_start(server)
    job = connection.submit_spec(prepared.spec, prepared.blobs)
    _warn(job)
    if as_json:
        return _print_job(connection, job)
    click.echo(job.id)
    return 0


def _print_job(connection: Client, job: Job) -> int:
    return print_json(connection.send(calls.raw(calls.job(job.id))))


def _warn(job: Job) -> None:
    for warning in job.warnings:
        say(f"warning: {warning}")


def _prepare(program: str, *, stdin: str | None, env: tuple[str, ...], **given: Any) -> prepare.Prepared:
    """The request that the flags ask for; everything on this machine is read here."""
    arrayflags.check(program, {**given, "stdin": stdin})
    if (given["gpu_model"] or given["gpu_memory_mb"]) and not given["gpus"]:
        raise click.UsageError("--gpu-model and --gpu-memory-mb say which GPUs; say how many, too: --gpus 1")
    if given["retry_memory"] and not given["retries"]:
        raise click.UsageError("--retry-memory is the memory of a retry; say how many, too: --retries 3")
    given |= {"args": list(given["args"]), **arrayflags.taken(given)}
    given["require"], given["prefer"] = dict(given["require"]), dict(given["prefer"])
    return prepare.job(
        **program_of(program, given["language"]),
        env=dict(_variable(text) for text in env),
        stdin=None if stdin is None else _stdin(stdin),
        **given,
    )


def program_of(named: str, language: str | None) -> dict[str, Any]:
    """The program as `prepare.job` takes it: its name, or what standard input holds under a name that fits."""
    if named != "-":
        return {"program": named}
    data = sys.stdin.buffer.read()
    return {"program": data, "file_name": "main" + _suffix(data, language)}


def _suffix(data: bytes, language: str | None) -> str:
    """`.c` and the like: compilers go by it. None where only the server may know the language."""
    from wasmgrid.build import toolchains  # noqa: PLC0415 -- only source without a name needs it

    try:
        found, _ = toolchains.infer({"main": data}, language, None)
    except LanguageUnknown:
        return ""
    return next(iter(toolchains.named(found).suffixes), "")


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise click.BadParameter(f"{text!r} is not K=V", param_hint="--env")
    return name, value if equals else os.environ.get(name, "")


def _stdin(source: str) -> str | Base64:
    if source == "-":
        return packing.content(sys.stdin.buffer.read())
    try:
        return packing.content(Path(source).read_bytes())
    except OSError as error:
        raise click.BadParameter(f"{source!r} cannot be read: {error.strerror}", param_hint="--stdin") from error
