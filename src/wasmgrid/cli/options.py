"""The sets of flags that several commands share. One name everywhere: those of a job are the keys of its request."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from wasmgrid.cli.ids import JobId, JobIds, Span
from wasmgrid.cli.params import Duration as Duration  # noqa: PLC0414 -- said as options.Duration
from wasmgrid.cli.params import FileName as FileName  # noqa: PLC0414 -- said as options.FileName
from wasmgrid.cli.params import Language as Language  # noqa: PLC0414 -- said as options.Language
from wasmgrid.cli.params import Moment as Moment  # noqa: PLC0414 -- said as options.Moment
from wasmgrid.cli.params import Name as Name  # noqa: PLC0414 -- said as options.Name
from wasmgrid.cli.params import Pair as Pair  # noqa: PLC0414 -- said as options.Pair
from wasmgrid.cli.params import Size as Size  # noqa: PLC0414 -- said as options.Size
from wasmgrid.cli.params import WorkerId as WorkerId  # noqa: PLC0414 -- said as options.WorkerId

F = TypeVar("F", bound=Callable[..., Any])
TABLE, WIDE, JSON = FORMATS = ("table", "wide", "json")


def server(command: F) -> F:
    """`-s`: which server."""
    return click.option(
        "-s",
        "--server-endpoint",
        "server",
        metavar="HOST:PORT|URL",
        help="The server to talk to, or several with commas (default: $WASMGRID_SERVER, else that of $WASMGRID_HOME).",
    )(command)


def as_json(command: F) -> F:
    """`--json`: the server's own JSON on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")(command)


def output(command: Callable[..., int]) -> Callable[..., int]:
    """`-o`, and `--json` for the last of them; the command takes it as `output`: table, wide or json."""

    @functools.wraps(command)
    def with_output(*, output: str | None, as_json: bool, **rest: Any) -> int:
        if as_json and output not in {None, JSON}:
            raise click.UsageError(f"--json is --output json; it cannot be {output}, too")
        return command(output=JSON if as_json else output or TABLE, **rest)

    option = click.option("-o", "--output", type=click.Choice(FORMATS), help="What is printed. [default: table]")
    json = click.option("--json", "as_json", is_flag=True, help="The same as --output json.")
    return option(json(with_output))


def job_argument(command: Callable[..., int]) -> Callable[..., int]:
    """The job, as `10`, `last`, `last~2`, or as the prototype had it: `--id 10`."""

    @functools.wraps(command)
    def with_job(*, job: int | str | None, job_option: int | str | None, **rest: Any) -> int:
        named = [each for each in (job, job_option) if each is not None]
        if len(named) != 1:
            raise click.UsageError("name one job: its id, or last", click.get_current_context())
        return command(job=named[0], **rest)

    argument = click.argument("job", type=JobId(), required=False, metavar="ID|last")
    return argument(click.option("-i", "--id", "job_option", type=JobId(), help="The same, as a flag.")(with_job))


def jobs_argument(command: Callable[..., int]) -> Callable[..., int]:
    """Jobs, as `10`, `12-15,20`, `last~2-last`, or `--id 10`; the command takes them as `jobs`."""

    @functools.wraps(command)
    def with_jobs(*, jobs: Sequence[tuple[Span, ...]], job_option: tuple[Span, ...] | None, **rest: Any) -> int:
        named = [span for spans in (*jobs, job_option or ()) for span in spans]
        if not named:
            raise click.UsageError("name a job: its id, or last; or several: 12-15,20", click.get_current_context())
        return command(jobs=named, **rest)

    argument = click.argument("jobs", type=JobIds(), nargs=-1, metavar="ID|last|12-15,20...")
    return argument(click.option("-i", "--id", "job_option", type=JobIds(), help="The same, as a flag.")(with_jobs))


def task_index(command: F) -> F:
    """`--index`: which task, of a job that has many."""
    return click.option("--index", type=click.IntRange(min=0), metavar="N", help="Of an array, the task N.")(command)
