"""`doctor`: one line per check, with the remedy."""

from __future__ import annotations

import sys

import click
import msgspec

from wasmgrid.cli import options
from wasmgrid.cli.terminal import one_line, print_json, wants_colour

BROKEN = 1
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@options.output
@options.server
def doctor(output: str, server: str | None) -> int:
    """Check this machine: what holds compilers and guests, what is installed, what runs; with what to do about it.

    Exit code 1 where something is broken.
    """
    from wasmgrid.cli import checks  # noqa: PLC0415 -- its name is a command's help until it runs

    found = []
    for check in checks.everything(server):
        found.append(check)
        if output != options.JSON:
            mark = f"{check.state:<4}"
            mark = click.style(mark, fg=_COLOURS[check.state]) if wants_colour(sys.stdout) else mark
            remedy = f" · {check.remedy}" if check.remedy else ""
            click.echo(f"{mark}  {check.name:<9}  {one_line(check.found + remedy)}", color=True)
    if output == options.JSON:
        print_json(msgspec.json.encode(found))
    return BROKEN if any(check.state == "fail" for check in found) else 0
