"""`run` and `submit`: one request, made the same way; `run` stays for the output."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from wasmgrid.cli import ending, exits, options, render
from wasmgrid.cli.connecting import client, client_or_start
from wasmgrid.cli.following import Follower
from wasmgrid.cli.jobs import print_json
from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import LanguageUnknown
from wasmgrid.core.job import Base64
from wasmgrid.sdk import calls, packing, prepare
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job

SECOND_CTRL_C_S = 2.0  # how long a second Ctrl-C cancels what the first detached from


@click.command()
@click.argument("program", metavar="FILE|DIRECTORY|-")
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@options.job_flags
@options.source_flags
@click.option("-d", "--detach", is_flag=True, help="Return as soon as the job has its id.")
@options.as_json
@options.server
def run(program: str, server: str | None, detach: bool, as_json: bool, **given: Any) -> int:
    """Run FILE, a project's DIRECTORY, a .wasm, or source from standard input (-).

    The program's output goes to stdout and stderr as it comes, its exit code is passed through, and one line on stderr
    says what it took. Ctrl-C detaches (the job goes on), twice cancels.

    \b
        wasmgrid run hello.rs -- first second
        wasmgrid run main.c --input data.csv --time-limit 30s
        echo '(module (func (export "_start")))' | wasmgrid run -
    """
    prepared = _prepare(program, **given)
    connection = client_or_start(server)
    job = connection.submit(prepared.spec, prepared.blobs)
    say(render.running(job.id))
    _warn(job)
    if detach:
        return _print_job(connection, job) if as_json else 0
    follower = Follower(connection, lambda: client(server), job.id)
    try:
        finished = _follow(follower, quiet=as_json)
    except KeyboardInterrupt:
        return _interrupted(server, job.id)
    if as_json:
        print_json(finished)
    return ending.tell(msgspec.json.decode(finished, type=Job))


@click.command()
@click.argument("program", metavar="FILE|DIRECTORY|-")
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@options.job_flags
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
    job = connection.submit(prepared.spec, prepared.blobs)
    _warn(job)
    if as_json:
        return _print_job(connection, job)
    click.echo(job.id)
    return 0


def _follow(follower: Follower, *, quiet: bool) -> bytes:
    follower.until_started()
    if not quiet:
        follower.output()
    return follower.finished()


def _interrupted(server: str | None, job_id: int) -> int:
    """Ctrl-C: detach and say how to come back; a second one, soon after, cancels."""
    try:
        say(
            f"detached: job {job_id} goes on · come back: wasmgrid logs -f {job_id} · "
            f"cancel: Ctrl-C again, or wasmgrid cancel {job_id}"
        )
        time.sleep(SECOND_CTRL_C_S)
    except KeyboardInterrupt:
        with client(server) as connection:
            connection.cancel(job_id)
            job = connection.wait(job_id, timeout_s=10.0)
        say(f"job {job_id} is {job.state}" if job.done else f"job {job_id} is being cancelled")
    return exits.INTERRUPTED


def _print_job(connection: Client, job: Job) -> int:
    return print_json(connection.send(calls.raw(calls.job(job.id))))


def _warn(job: Job) -> None:
    for warning in job.warnings:
        say(f"warning: {warning}")


def _prepare(program: str, *, stdin: str | None, env: tuple[str, ...], **given: Any) -> prepare.Prepared:
    """The request that the flags ask for; everything on this machine is read here."""
    if program == "-" and stdin == "-":
        raise click.UsageError("standard input cannot be both the program (-) and its --stdin -")
    if (given["gpu_model"] or given["gpu_memory_mb"]) and not given["gpus"]:
        raise click.UsageError("--gpu-model and --gpu-memory-mb say which GPUs; say how many, too: --gpus 1")
    if given["retry_memory"] and not given["retries"]:
        raise click.UsageError("--retry-memory is the memory of a retry; say how many, too: --retries 3")
    given["args"] = list(given["args"])
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
