"""What the flags of many tasks and of functions make of a request."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from wasmgrid.core.errors import InvalidPath
from wasmgrid.core.ranges import parse_runs
from wasmgrid.sdk import lines
from wasmgrid.sdk.lines import GivenLines


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
    return {**fields, "lines": given_lines(each_line, from_json, use)}


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


def given_lines(each_line: str | None, from_json: str | None, use: str) -> GivenLines | None:
    """What each task is given, read now; None where no flag says."""
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
