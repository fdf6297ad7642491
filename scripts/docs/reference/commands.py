"""Every command and flag, from click."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from scripts.docs.reference.table import code, table

from wasmgrid.cli.main import root


def page() -> str:
    """The overview, then each command."""
    context = click.Context(root, info_name="wasmgrid")
    parts = [table(["command", "what it does"], _overview(context))]
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        parts += _described(command, click.Context(command, parent=context, info_name=name), depth=2)
    return "\n".join(parts)


def _overview(context: click.Context) -> Iterator[list[str]]:
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        yield [f"[`{name}`](#wasmgrid-{name})", command.get_short_help_str(200)]


def _described(command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    """A command's heading, usage, words and flags; then those of its own commands."""
    yield f"\n{'#' * depth} {context.command_path}\n"
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield from _prose(inspect.cleandoc(command.help or ""))
    flags = [row for parameter in command.get_params(context) if (row := _flag(parameter, context))]
    if flags:
        yield table(["flag", "value", "default", "what it says"], flags)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _described(child, click.Context(child, parent=context, info_name=name), depth + 1)


def _prose(text: str) -> Iterator[str]:
    r"""Paragraphs; what stands behind `\b` is shown as it is."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{inspect.cleandoc(paragraph[1:])}\n```\n"
        else:
            yield f"{paragraph.replace('<', '&lt;')}\n"


def _flag(parameter: click.Parameter, context: click.Context) -> list[str] | None:
    if not isinstance(parameter, click.Option) or parameter.hidden or parameter.name == "help":
        return None
    with_names = parameter.get_help_record(context)
    assert with_names is not None
    extra = parameter.get_help_extra(context)
    value = "" if parameter.is_flag or parameter.count else parameter.make_metavar(context)
    names = " ".join(map(code, [*parameter.opts, *parameter.secondary_opts]))
    often = " May be repeated." if parameter.multiple else ""
    return [
        names,
        code(value),
        code(str(extra.get("default", ""))),
        f"{parameter.help or ''}{often}".replace("<", "&lt;"),
    ]
