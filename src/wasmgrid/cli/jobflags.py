"""Every flag of a job, described once: for `run` and `submit`, for what `rerun` changes, and for job files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from wasmgrid.cli.params import Duration, Factor, FileName, InputArgument, Language, Pair, Size, Variable
from wasmgrid.core import limits

F = TypeVar("F", bound=Callable[..., Any])


class Flag:
    """A flag by its names and what click knows of it; its last name without dashes is the key of the request."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self._names = names
        self._settings = settings

    def asked(self, command: F) -> F:
        """The flag of a command that makes a request."""
        return click.option(*self._names, **self._settings)(command)

    def changed(self, command: F) -> F:
        """The flag of a command that changes a request: without it, what was asked for stays."""
        settings = {**self._settings, "default": None, "show_default": False}
        settings["help"] = settings["help"].partition(" [default")[0].partition(" (default")[0]
        return click.option(*self._names, **settings)(command)


# fmt: off
INSTALL = Flag("--install/--no-install", default=True,
               help="Whether a missing toolchain may be installed. [default: yes]")
SOURCE = [
    Flag("--language", type=Language(), metavar="NAME", help="The source's language (default: by name or content)."),
    Flag("--entry", metavar="PATH", help="The main file of a project."),
    Flag("--build-flag", "build_flags", multiple=True, metavar="FLAG", help="A compiler's flag; many are allowed."),
    INSTALL,
]
JOB = [
    Flag("-c", "--cpus", type=float, default=limits.DEFAULT_CPUS, show_default=True, help="0.5 is half of one."),
    Flag("-m", "--memory-mb", type=int, default=limits.DEFAULT_MEMORY_MB, show_default=True, help="An exact cap."),
    Flag("-j", "--job-name", "--name", "name", default="", metavar="NAME", help="A name for people."),
    Flag("--disk-mb", type=int, default=limits.DEFAULT_DISK_MB, show_default=True, help="Scratch space."),
    Flag("--gpus", type=int, default=0, show_default=True, help="GPUs to reserve; no guest can use one yet."),
    Flag("--gpu-model", metavar="NAME", help="What these GPUs are called, in part: H100."),
    Flag("--gpu-memory-mb", type=int, default=0, help="The memory that each of them has."),
    Flag("--require", type=Pair(), multiple=True, help="A label that the worker must have (arch=arm64)."),
    Flag("--prefer", type=Pair(), multiple=True, help="A label that the worker should have."),
    Flag("--time-limit", "time_limit_s", type=Duration(), default="10m", show_default=True,
          help="How long one attempt may run."),
    Flag("--queue-timeout", "queue_timeout_s", type=Duration(), help="How long it may wait before it first starts."),
    Flag("--total-timeout", "total_timeout_s", type=Duration(), help="How long all may take, from its submission on."),
    Flag("--cpu-time-limit", "cpu_time_limit_s", type=Duration(), help="Cpu time."),
    Flag("--output-limit", "output_limit_bytes", type=Size(), default="16M", show_default=True,
          help="The most that stdout, stderr and /out may each hold."),
    Flag("--output-overflow", type=click.Choice(["stop", "truncate"]), default="stop", show_default=True,
          help="Past the output limit: stop the task, or drop the rest."),
    Flag("--fuel", type=int, help="The most instructions, metered (default: not metered)."),
    Flag("-e", "--env", type=Variable(), multiple=True, metavar="K=V",
         help="A variable; K alone passes this shell's value."),
    Flag("--stdin", type=FileName(), metavar="FILE|-", help="What the program reads from standard input."),
    Flag("--input", "inputs", type=InputArgument(), multiple=True, metavar="PATH[:/guest[:rw]]",
          help="A file or directory the program finds at /guest (default /in/NAME), read-only unless rw."),
    Flag("--retries", type=int, default=0, show_default=True, help="How often to try again after a failure."),
    Flag("--retry-memory", type=Factor(), metavar="xFACTOR",
          help="After out_of_memory, try again with so many times the memory: x2."),
    Flag("--priority", type=int, default=0, show_default=True, help="Higher goes first."),
    Flag("--idempotency-key", metavar="KEY", help="Submitting again with this key gives the same job."),
    Flag("--fail-fast", is_flag=True, help="Refuse a job that no worker could ever run, instead of waiting."),
]
ARRAY = [
    Flag("--array", metavar="INDEXES",
         help="A task for each index: 0-99999, or 3,7,10-20. In ARGS {index} is replaced by it; it is in the variable "
         "WASMGRID_TASK_INDEX, too."),
    Flag("--each-line", type=FileName(), metavar="FILE|-",
         help="A task for each line of FILE, which it reads from standard input; or its arguments with --as-args; or "
         "wherever {line} stands in ARGS."),
    Flag("--from-json", type=FileName(), metavar="FILE|-",
         help="A task for each element of a JSON array, or each value of NDJSON: a function's arguments, else as for "
         "--each-line."),
    Flag("--as-args", is_flag=True, help="The line is split into arguments as a shell does (a JSON array is "
         "their list), after ARGS."),
    Flag("--function", metavar="NAME", help="Call this function of the source: the words after -- are its "
         "arguments, and what it returns is printed."),
    Flag("--isolate", is_flag=True, help="A fresh instance for every call of the function."),
    Flag("--max-fails", type=click.IntRange(min=0), metavar="N", help="Give up once more than N tasks failed."),
    Flag("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most so many tasks at once."),
]
# fmt: on


def job_flags(command: F) -> F:
    """All that a job can ask for."""
    for flag in reversed([*JOB, *ARRAY, *SOURCE]):
        command = flag.asked(command)
    return command


def source_flags(command: F) -> F:
    """How source is compiled."""
    for flag in reversed(SOURCE):
        command = flag.asked(command)
    return command


def changes(command: F) -> F:
    """All that may be other than it was when a job is run again."""
    for flag in reversed([*JOB, *ARRAY, INSTALL]):
        command = flag.changed(command)
    return command
