"""`wasmgrid`: finds the command that was named, loads it alone, and turns errors into a line and an exit code."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click
from click.shell_completion import CompletionItem

from wasmgrid import __version__
from wasmgrid.cli import encodings, exits
from wasmgrid.cli.commands import COMMANDS, GROUPS
from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.views import WASMGRID_FAILED

COMPLETING = "_WASMGRID_COMPLETE"  # set by what `wasmgrid completion` prints


class _ReaderGoneError(Exception):
    """Nobody reads what is printed any more."""


class Commands(click.Group):
    """All commands, each imported when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Their names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"wasmgrid.cli.{entry[0]}"), cmd_name.replace("-", "_")
        )
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, without importing any; behind a dash the flags."""
        found = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` name; a near miss is told the name that it missed."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415 -- only a typing error needs it

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else " All commands: wasmgrid --help"
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """The command; that its reader went away is told apart from what click makes of it, exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The help of all commands, without importing any."""
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, (_, text) in commands.items()])


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="wasmgrid %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Run code you didn't write, in any language, on your own machines.

    \b
        wasmgrid run hello.rs --cpus 1 --memory-mb 1000 --job-name sleep
        wasmgrid status last
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    _prepare_streams()
    if os.environ.get(COMPLETING):
        return _complete(arguments)
    try:
        result = root.main(args=arguments, prog_name="wasmgrid", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return exits.USAGE
    except WasmgridError as error:
        say(str(error))
        return exits.exit_code(error)
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except (BrokenPipeError, _ReaderGoneError):
        _give_up(sys.stdout)
        return exits.BROKEN_PIPE
    except OSError as error:  # a full disk behind stdout, a file that may not be read
        say(f"error[os]: {_told(error)}")
        _give_up(sys.stdout)
        return WASMGRID_FAILED
    return result if isinstance(result, int) else 0


def _complete(arguments: Sequence[str] | None) -> int:
    """Answer a shell. Whatever is wrong, nobody wants to read it behind their cursor."""
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- until the end
    try:
        root.main(args=arguments, prog_name="wasmgrid", complete_var=COMPLETING)
    except SystemExit as ended:
        return int(ended.code or 0)
    except Exception:  # noqa: BLE001 -- see above
        return 1


def _prepare_streams() -> None:
    """Text that the terminal's encoding lacks is shown escaped; a stream that was closed (`>&-`) goes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=encodings.PLAIN)


def _told(error: OSError) -> str:
    """What the system said, and of what; without a name it is what was to be printed."""
    what = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {what}"
    full = " · free some space, or send it elsewhere" if error.errno == errno.ENOSPC else ""
    return f"what was to be printed is lost: {what}{full}"


def _give_up(stream: TextIO) -> None:
    """Nobody reads this any more: let the interpreter's last flush go nowhere, not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
