"""`completion`: what teaches a shell to complete commands, flags, files, jobs and workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

from wasmgrid.cli.main import COMPLETING
from wasmgrid.cli.terminal import say

_HOW = {
    "bash": 'eval "$(wasmgrid completion bash)"    in ~/.bashrc',
    "zsh": 'eval "$(wasmgrid completion zsh)"    in ~/.zshrc, behind compinit',
    "fish": "wasmgrid completion fish > ~/.config/fish/completions/wasmgrid.fish",
}


def _ours() -> str:
    """The shell that this was typed in, as far as it says."""
    name = Path(os.environ.get("SHELL", "")).name
    return name if name in _HOW else "bash"


@click.command()
@click.argument("shell", type=click.Choice(list(_HOW)), default=_ours, metavar="[bash|zsh|fish]")
def completion(shell: str) -> int:
    """Print the completion of a shell (default: yours).

    \b
        eval "$(wasmgrid completion bash)"                                       in ~/.bashrc
        eval "$(wasmgrid completion zsh)"                                        in ~/.zshrc
        wasmgrid completion fish > ~/.config/fish/completions/wasmgrid.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # click knows all three
        raise click.UsageError(f"no completion for {shell}")
    root = click.get_current_context().find_root().command
    click.echo(ShellComplete.source(kind(root, {}, "wasmgrid", COMPLETING)))
    if sys.stdout.isatty():
        say(f"to have it in every shell: {_HOW[shell]}")
    return 0
