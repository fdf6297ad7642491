"""The flags of jobs with many tasks and of functions, and what they make of a request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from wasmgrid.cli.options import F
from wasmgrid.core.errors import InvalidPath
from wasmgrid.core.ranges import parse_runs
from wasmgrid.sdk import lines
from wasmgrid.sdk.lines import GivenLines

_FLAGS: list[Callable[[Any], Any]] = [
    click.option("--array", metavar="INDEXES", help="A task for each index: 0-99999, or 3,7,10-20. In ARGS {index} is "
                 "replaced by it; it is in the variable WASMGRID_TASK_INDEX, too."),
    click.option("--each-line", metavar="FILE|-", help="A task for each line of FILE, which it reads from standard "
                 "input; or its arguments with --as-args; or wherever {line} stands in ARGS."),
    click.option("--from-json", metavar="FILE|-", help="A task for each element of a JSON array, or each value of "
                 "NDJSON: a function's arguments, else as for --each-line."),
    click.option("--as-args", is_flag=True, help="The line is split into arguments as a shell does (a JSON array is "
                 "their list), after ARGS."),
    click.option("--function", metavar="NAME", help="Call this function of the source: the words after -- are its "
                 "arguments, and what it returns is printed."),
    click.option("--isolate", is_flag=True, help="A fresh instance for every call of the function."),
    click.option("--max-fails", type=click.IntRange(min=0), metavar="N", help="Give up once more than N tasks failed."),
    click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most so many tasks at once."),
]  # fmt: skip


def array_flags(command: F) -> F:
    """How many tasks, and what each is given."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def check(program: str, given: dict[str, Any]) -> None:
    """Raise a usage error where flags contradict each other; nothing was read yet."""
    from_stdin = [
        name
        for name, value in (
            ("the program", program), ("--stdin", given["stdin"]),
            ("--each-line", given["each_line"]), ("--from-json", given["from_json"]),
        )
        if value == "-"
    ]  # fmt: skip
    if len(from_stdin) > 1:
        raise click.UsageError(f"standard input cannot be both {' and '.join(from_stdin)}")
    if given["each_line"] and given["from_json"]:
        raise click.UsageError("the tasks' inputs are --each-line or --from-json, not both")
    inputs = given["each_line"] or given["from_json"]
    if given["as_args"] and not inputs:
        raise click.UsageError("--as-args is about lines; say which: --each-line FILE or --from-json FILE")
    if given["isolate"] and not given["function"]:
        raise click.UsageError("--isolate is about calls; say of what: --function NAME")
    for flag in ("max_fails", "concurrency"):
        if given[flag] is not None and not (inputs or given["array"]):
            raise click.UsageError(
                f"--{flag.replace('_', '-')} is about many tasks; say which: --array, --each-line or --from-json"
            )
    if inputs and given["stdin"] is not None and use_of(given) == "stdin":
        raise click.UsageError("each task reads its line from standard input; --stdin goes with --as-args or {line}")
    if given["array"]:
        parse_runs(given["array"], field="array")


def taken(given: dict[str, Any]) -> dict[str, Any]:
    """The flags as fields of a request: what each task is given is read here."""
    use = use_of(given)
    fields = {name: given.pop(name) for name in ("array", "function", "isolate", "max_fails", "concurrency")}
    each_line, from_json = given.pop("each_line"), given.pop("from_json")
    del given["as_args"]
    return {**fields, "lines": _lines(each_line, from_json, use)}


def use_of(given: dict[str, Any]) -> str:
    """What a task does with its line (`core.job.Lines.use`)."""
    if names_line(given["args"]):
        return "line"
    if given["from_json"]:
        return "call" if given["function"] else "json_args" if given["as_args"] else "stdin"
    return "args" if given["as_args"] or given["function"] else "stdin"


def names_line(args: Sequence[str]) -> bool:
    """Whether the line itself says where it belongs; `{{line}}` is a literal `{line}`."""
    return any("{line}" in arg.replace("{{line}}", "") for arg in args)


def _lines(each_line: str | None, from_json: str | None, use: str) -> GivenLines | None:
    if each_line == "-":
        return lines.of_stream(sys.stdin.buffer, use)
    if each_line:
        return lines.of_file(Path(each_line), use)
    if from_json == "-":
        return lines.of_json(sys.stdin.buffer, use)
    if from_json:
        try:
            with Path(from_json).open("rb") as file:
                return lines.of_json(file, use)
        except OSError as error:
            raise InvalidPath(f"{from_json} cannot be read: {error.strerror}", field="lines") from None
    return None
