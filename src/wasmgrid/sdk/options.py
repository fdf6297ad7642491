"""What a job may ask for, as the keywords of `run`, `submit`, `map` and `function`; made into a request here, once."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.units import parse_duration, parse_size
from wasmgrid.sdk import packing, prepare, program
from wasmgrid.sdk.given import GivenBytes, GivenInput
from wasmgrid.sdk.lines import GivenLines
from wasmgrid.sdk.prepare import Prepared
from wasmgrid.sdk.program import Program

F = TypeVar("F", bound=Callable[..., Any])
Duration = float | str | timedelta
"""Seconds, or text like `"30s"`, `"10m"`, `"1h30m"`."""
Size = int | str
"""Bytes, or text like `"512K"`, `"16M"`, `"1G"`."""
Inputs = Iterable[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str] | bytes]
"""Files and directories: `["data.csv", "config:/etc/app:rw"]`, or `{"/in/data.csv": "data.csv", "/in/x": b"..."}`."""


class JobOptions(TypedDict, total=False):
    """Every keyword of `run`, `submit`, `map` and `function`. What is left out has the server's default."""

    name: str
    """What the job is called in lists; at most 200 characters."""
    args: Iterable[str | int | float]
    """The program's arguments. In an array `{index}` stands for the task's index, `{line}` for its line."""
    stdin: str | bytes | os.PathLike[str]
    """What the program reads from standard input: text, bytes, or a file (a `Path`)."""
    env: Mapping[str, str]
    """Its environment; nothing else is in it."""
    inputs: Inputs
    """Files and directories that it finds at a path of its own (`/in/NAME` where none is given)."""
    language: str
    """rust, c, cpp, go, zig, wat, ...; where it is left out, names and content tell it."""
    entry: str
    """A project's main file, relative to it."""
    build_flags: Iterable[str]
    """Flags for the compiler, of those that its language allows."""
    cpus: float
    """Cpus that a task reserves (1); below 1 it is capped where the machine can."""
    memory_mb: int
    """Memory that a task reserves and may use (1000), in MB of 2^20 bytes."""
    disk_mb: int
    """Scratch space of a task (1000), in MB."""
    gpus: int
    """GPUs that a task reserves (0)."""
    gpu_model: str
    """What they are called, in part: `"H100"`."""
    gpu_memory_mb: int
    """The memory that each of them has at least, in MB."""
    require: Mapping[str, str]
    """Labels that the worker must have: `{"arch": "arm64"}`."""
    prefer: Mapping[str, str]
    """Labels that it should have."""
    time_limit: Duration
    """How long one attempt may run (10 minutes)."""
    queue_timeout: Duration
    """How long it may wait before it first starts."""
    total_timeout: Duration
    """How long all may take, from its submission on."""
    cpu_time_limit: Duration
    """Cpu time of one attempt."""
    output_limit: Size
    """The most that stdout, stderr and `/out` may each hold (16M)."""
    output_overflow: str
    """Past that: `"stop"` the task, or `"truncate"` the output."""
    fuel: int
    """The most instructions, metered; not metered where it is left out."""
    retries: int
    """How often a failed task is tried again (0)."""
    retry_memory: float
    """After out_of_memory, by how much more memory is tried (2: twice)."""
    priority: int
    """-1000 to 1000 (0); higher goes first."""
    array: int | range | str
    """A task for each index: `100` is 0-99, `range(5, 10)`, `"3,7,10-20"`."""
    concurrency: int
    """At most so many tasks of an array at once."""
    max_fails: int
    """Give an array up once more than so many of its tasks failed."""
    isolate: bool
    """A fresh instance for each call of a function."""
    install: bool
    """Whether a toolchain that is missing may be installed for it (True)."""
    fail_fast: bool
    """Refuse a job that no worker could ever run, instead of waiting for one."""
    idempotency_key: str
    """Submitting again under the same key gives the same job."""


_DURATIONS = {"time_limit", "queue_timeout", "total_timeout", "cpu_time_limit"}
_METHODS_OWN = ("check", "function", "ordered", "as_args", "return_exceptions", "progress")
_AS_GIVEN = {
    *("name", "language", "entry", "cpus", "memory_mb", "disk_mb", "gpus", "gpu_model", "gpu_memory_mb"),
    *("output_overflow", "fuel", "retries", "retry_memory", "priority", "concurrency", "max_fails", "isolate"),
    *("install", "fail_fast", "idempotency_key"),
}


def request(
    source: Program,
    options: Mapping[str, Any],
    *,
    function: str | None = None,
    lines: GivenLines | None = None,
    words: Iterable[str] | None = None,
) -> Prepared:
    """The request for a job that runs `source`, with the bytes that it names by digest.

    `options` are `JobOptions`; `lines` gives each task one of them; `words` are a function's arguments. Raises
    `TypeError` for an unknown keyword, `InvalidField`, `InvalidPath` or `TooLarge` for what cannot be sent.
    """
    check(options)
    fields = {key: value for key, value in options.items() if key in _AS_GIVEN and value is not None}
    for key in _DURATIONS & options.keys():
        if options[key] is not None:
            fields[f"{key}_s"] = seconds(options[key], key)
    if options.get("output_limit") is not None:
        fields["output_limit_bytes"] = _bytes(options["output_limit"])
    if options.get("array") is not None:
        fields["array"] = _indexes(options["array"])
    for key in {"env", "require", "prefer"} & options.keys():
        fields[key] = dict(options[key] or {})
    if options.get("stdin") is not None:
        fields["stdin"] = _stdin(options["stdin"])
    fields["args"] = list(words) if words is not None else [str(each) for each in options.get("args") or ()]
    return prepare.job(
        program.resolved(source, options.get("language")),
        inputs=list(_inputs(options.get("inputs") or ())),
        build_flags=list(options.get("build_flags") or ()),
        function=function,
        lines=lines,
        **fields,
    )


def check(options: Mapping[str, Any]) -> None:
    """Raise `TypeError` at a keyword that is none, as Python does, with what was meant."""
    for key in options:
        if key not in JobOptions.__annotations__:
            known = [*JobOptions.__annotations__, *_METHODS_OWN]
            near = difflib.get_close_matches(key.removesuffix("_s").removesuffix("_bytes"), known, 1)
            raise TypeError(f"there is no keyword {key!r}" + (f"; did you mean {near[0]}?" if near else ""))


def seconds(given: Duration, field: str) -> float:
    """A duration, however it was said."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, str):
        try:
            return parse_duration(given)
        except ValueError as error:
            raise InvalidField(str(error), field=field) from None
    return float(given)


def spelled_out(method: F) -> F:
    """Let `help` and completion show each keyword of `JobOptions`, which the source says with one word."""
    signature = inspect.signature(method)
    kept = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    known = {each.name for each in kept}
    words = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind.__forward_arg__)
        for key, kind in JobOptions.__annotations__.items()
        if key not in known
    ]
    cast("Any", method).__signature__ = signature.replace(parameters=[*kept, *words])
    return method


def _bytes(given: Size) -> int:
    try:
        return parse_size(given) if isinstance(given, str) else int(given)
    except ValueError as error:
        raise InvalidField(str(error), field="output_limit") from None


def _indexes(given: int | range | str) -> str:
    if isinstance(given, str):
        return given
    indexes = range(given) if isinstance(given, int) else given
    if not indexes:
        raise InvalidField("an array has at least one task", field="array")
    if indexes.step == 1:
        return f"{indexes[0]}-{indexes[-1]}"
    return ",".join(map(str, sorted(indexes)))


def _stdin(given: str | bytes | os.PathLike[str]) -> Any:
    if isinstance(given, str):
        return given
    if isinstance(given, bytes | bytearray | memoryview):
        return packing.content(bytes(given))
    try:
        return packing.content(Path(given).read_bytes())
    except OSError as error:
        raise InvalidField(f"{given} cannot be read: {error.strerror}", field="stdin") from None


def _inputs(given: Inputs) -> Iterable[GivenInput | GivenBytes]:
    if isinstance(given, Mapping):
        for guest, what in given.items():
            at, writable = guest.removesuffix(":rw"), guest.endswith(":rw")
            if isinstance(what, bytes | bytearray | memoryview):
                yield GivenBytes(bytes(what), at, writable)
            else:
                yield GivenInput(Path(what), at, writable)
        return
    if isinstance(given, str | os.PathLike):
        raise InvalidField("inputs is a list of paths, or a mapping", hint=f"inputs=[{given!r}]", field="inputs")
    for each in given:
        yield GivenInput.parse(each) if isinstance(each, str) else GivenInput(Path(each))
