"""What the words behind flags mean: units, pairs, inputs, names. Each completes itself in a shell, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from wasmgrid.cli import completing
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.units import parse_duration, parse_size
from wasmgrid.core.worker import check_id, check_worker_id
from wasmgrid.sdk.given import GivenInput


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


class Moment(click.ParamType[datetime]):
    """`2h` (so long ago), `2026-11-28`, `2026-11-28T20:00` (of this machine's clock) or with `Z`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time, with its zone."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) - timedelta(seconds=parse_duration(value))
        except (ValueError, OverflowError):
            pass
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2h (so long ago), 2026-11-28 or 2026-11-28T20:00", param, ctx)


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


class Variable(click.ParamType[str]):
    """`K=V`, or `K` alone: this shell's value of it."""

    name = "k=v"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same text, which has a name."""
        text = str(value)
        if not text.partition("=")[0]:
            self.fail(f"{text!r} is not K=V", param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """Variables of this shell."""
        return completing.variables(incomplete)


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

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """Files and directories, by the shell itself."""
        return [CompletionItem(incomplete, type="file")]


class FileName(click.ParamType[str]):
    """A file that is read on this machine, or `-` for standard input; in a job file it is relative to that."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """Files, by the shell itself."""
        return [CompletionItem(incomplete, type="file")]


class Language(click.ParamType[str]):
    """A language's name; whether there is one is known to whoever compiles."""

    name = "language"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """The languages that this version knows."""
        return completing.languages(incomplete)


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

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """Workers that are there."""
        return completing.workers(ctx, incomplete)
