"""What flags mean: units, pairs, inputs; and the sets of flags that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from wasmgrid.core import limits
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.units import parse_duration, parse_size
from wasmgrid.core.worker import check_id, check_worker_id
from wasmgrid.sdk.given import GivenInput

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """`30s`, `10m`, `1h30m`; the value is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """`512K`, `16M`, `1G`; the value is bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """`KEY=VALUE`; the value is a tuple of both."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """(key, value)."""
        if isinstance(value, tuple):
            return value[0], value[1]
        key, equals, text = value.partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


class Factor(click.ParamType[float]):
    """`x2`, `2` or `1.5`; the value is the number."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, over 1 and up to 16."""
        try:
            factor = float(value.removeprefix("x") if isinstance(value, str) else value)
        except ValueError:
            factor = 0.0
        if not 1 < factor <= 16:
            self.fail(f"{value!r} is not a factor; write x2, or another number over 1 and up to 16", param, ctx)
        return factor


class InputArgument(click.ParamType[GivenInput]):
    """`PATH[:/guest[:rw]]`."""

    name = "path[:/guest[:rw]]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> GivenInput:
        """Its parts; the path must be there."""
        given = value if isinstance(value, GivenInput) else GivenInput.parse(value)
        if not given.path.exists():
            self.fail(f"there is no {str(given.path)!r}", param, ctx)
        return given


class Name(click.ParamType[str]):
    """A credential's name."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, which may become part of subjects and paths."""
        try:
            return check_id(value, field=self.name)
        except InvalidField as error:
            self.fail(error.message, param, ctx)


class WorkerId(click.ParamType[str]):
    """A worker's id."""

    name = "worker"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """NAME or NAME:K."""
        try:
            return check_worker_id(value, field=self.name)
        except InvalidField as error:
            self.fail(f"{error.message}; list them: wasmgrid workers", param, ctx)


class JobId(click.ParamType[int | str]):
    """A job's number, or `last`."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the word."""
        if isinstance(value, int):
            return value
        if value == "last":
            return "last"
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            self.fail(f"{value!r} is not a job's id: a number, or last", param, ctx)
        return int(value)


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


def job_argument(command: Callable[..., int]) -> Callable[..., int]:
    """The job, as `10`, `last`, or as the prototype had it: `--id 10`."""

    @functools.wraps(command)
    def with_job(*, job: int | str | None, job_option: int | str | None, **rest: Any) -> int:
        named = [each for each in (job, job_option) if each is not None]
        if len(named) != 1:
            raise click.UsageError("name one job: its id, or last", click.get_current_context())
        return command(job=named[0], **rest)

    argument = click.argument("job", type=JobId(), required=False, metavar="ID|last")
    return argument(click.option("-i", "--id", "job_option", type=JobId(), help="The same, as a flag.")(with_job))


def task_index(command: F) -> F:
    """`--index`: which task, of a job that has many."""
    return click.option("--index", type=click.IntRange(min=0), metavar="N", help="Of an array, the task N.")(command)


def _flag(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, **settings)


_SOURCE = [
    _flag("--language", metavar="NAME", help="The source's language (default: by name or content)."),
    _flag("--entry", metavar="PATH", help="The main file of a project."),
    _flag("--build-flag", "build_flags", multiple=True, metavar="FLAG", help="A compiler's flag; many are allowed."),
    _flag("--install/--no-install", default=True, help="Whether a missing toolchain may be installed. [default: yes]"),
]
_JOB = [
    _flag("-c", "--cpus", type=float, default=limits.DEFAULT_CPUS, show_default=True, help="0.5 is half of one."),
    _flag("-m", "--memory-mb", type=int, default=limits.DEFAULT_MEMORY_MB, show_default=True, help="An exact cap."),
    _flag("-j", "--job-name", "--name", "name", default="", metavar="NAME", help="A name for people."),
    _flag("--disk-mb", type=int, default=limits.DEFAULT_DISK_MB, show_default=True, help="Scratch space."),
    _flag("--gpus", type=int, default=0, show_default=True, help="GPUs to reserve; no guest can use one yet."),
    _flag("--gpu-model", metavar="NAME", help="What these GPUs are called, in part: H100."),
    _flag("--gpu-memory-mb", type=int, default=0, help="The memory that each of them has."),
    _flag("--require", type=Pair(), multiple=True, help="A label that the worker must have (arch=arm64)."),
    _flag("--prefer", type=Pair(), multiple=True, help="A label that the worker should have."),
    _flag("--time-limit", "time_limit_s", type=Duration(), default="10m", show_default=True,
          help="How long one attempt may run."),
    _flag("--queue-timeout", "queue_timeout_s", type=Duration(), help="How long it may wait before it first starts."),
    _flag("--total-timeout", "total_timeout_s", type=Duration(), help="How long all may take, from its submission on."),
    _flag("--cpu-time-limit", "cpu_time_limit_s", type=Duration(), help="Cpu time."),
    _flag("--output-limit", "output_limit_bytes", type=Size(), default="16M", show_default=True,
          help="The most that stdout, stderr and /out may each hold."),
    _flag("--output-overflow", type=click.Choice(["stop", "truncate"]), default="stop", show_default=True,
          help="Past the output limit: stop the task, or drop the rest."),
    _flag("--fuel", type=int, help="The most instructions, metered (default: not metered)."),
    _flag("-e", "--env", type=str, multiple=True, metavar="K=V", help="A variable; K alone passes this shell's value."),
    _flag("--stdin", metavar="FILE|-", help="What the program reads from standard input."),
    _flag("--input", "inputs", type=InputArgument(), multiple=True, metavar="PATH[:/guest[:rw]]",
          help="A file or directory the program finds at /guest (default /in/NAME), read-only unless rw."),
    _flag("--retries", type=int, default=0, show_default=True, help="How often to try again after a failure."),
    _flag("--retry-memory", type=Factor(), metavar="xFACTOR",
          help="After out_of_memory, try again with so many times the memory: x2."),
    _flag("--priority", type=int, default=0, show_default=True, help="Higher goes first."),
    _flag("--idempotency-key", metavar="KEY", help="Submitting again with this key gives the same job."),
    _flag("--fail-fast", is_flag=True, help="Refuse a job that no worker could ever run, instead of waiting."),
]  # fmt: skip


def source_flags(command: F) -> F:
    """How source is compiled."""
    return _apply(_SOURCE, command)


def job_flags(command: F) -> F:
    """What a job asks for. One name everywhere: these are the keys of the request."""
    return _apply(_JOB, command)


_CHANGES = [
    _flag("-c", "--cpus", type=float, help="Other cpus."),
    _flag("-m", "--memory-mb", type=int, help="Another cap."),
    _flag("-j", "--job-name", "--name", "name", metavar="NAME", help="Another name."),
    _flag("--disk-mb", type=int, help="Other scratch space."),
    _flag("--time-limit", "time_limit_s", type=Duration(), help="Another time limit."),
    _flag("--output-limit", "output_limit_bytes", type=Size(), help="Another output limit."),
    _flag("--retries", type=int, help="Another number of retries."),
    _flag("--priority", type=int, help="Another priority."),
    _flag("--max-fails", type=click.IntRange(min=0), metavar="N", help="Give up once more than N tasks failed."),
    _flag("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most so many tasks at once."),
]


def changes(command: F) -> F:
    """What may be other than it was when a job is run again; None where it is to be the same."""
    return _apply(_CHANGES, command)


def _apply(flags: Sequence[Callable[[Any], Any]], command: F) -> F:
    for flag in reversed(flags):
        command = flag(command)
    return command
