"""How jobs are named: `12`, `last`, `last~2` (two before the newest), ranges of these, and lists: `12-15,20`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from wasmgrid.cli import completing
from wasmgrid.core.errors import InvalidField, JobNotFound
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client

LAST = "last"
MOST = 10_000  # jobs that one command names; more is a slip of the finger
_PAGE = 200
_ID = r"(?:\d{1,18}|last(?:~\d{1,6})?)"
_ONE = re.compile(_ID)
_SPAN = re.compile(rf"({_ID})(?:-({_ID}))?")


@dataclass(frozen=True)
class Span:
    """Jobs from one to another; both as they were named."""

    first: int | str
    last: int | str


class JobId(click.ParamType[int | str]):
    """One job: its number, `last`, or `last~2`."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the words."""
        if isinstance(value, int):
            return value
        if not value.isascii() or not _ONE.fullmatch(value):
            self.fail(f"{value!r} is not a job's id: a number, last, or last~2", param, ctx)
        return _named(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """The newest jobs."""
        return completing.jobs(ctx, incomplete)


class JobIds(click.ParamType[tuple[Span, ...]]):
    """Some jobs: `12`, `12-15,20`, `last~2-last`."""

    name = "ids"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Span, ...]:
        """What was named, in its order."""
        if isinstance(value, tuple):
            return value
        spans = []
        for part in value.split(","):
            match = _SPAN.fullmatch(part) if part.isascii() else None
            if match is None:
                self.fail(f"{value!r} names no jobs: a number, last, last~2, or a range: 12-15,20", param, ctx)
            first = _named(match[1])
            spans.append(Span(first, first if match[2] is None else _named(match[2])))
        return tuple(spans)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 -- click's signature
        """The newest jobs."""
        return completing.jobs(ctx, incomplete)


def number(connection: Client, job: int | str) -> int:
    """The number of a job that may have been called `last` or `last~2`. Raises `JobNotFound`."""
    if isinstance(job, int):
        return job
    back = int(job.partition("~")[2] or 0)
    return connection.status(LAST).id if not back else _before_the_last(connection, back)


def numbers(connection: Client, spans: Iterable[Span]) -> list[int]:
    """The numbers of all that were named, each once, in the order of their naming."""
    found: dict[int, None] = {}
    known: dict[int | str, int] = {}  # `last` is the same job wherever it stands on a line
    for span in spans:
        for each in (span.first, span.last):
            if each not in known:
                known[each] = number(connection, each)
        first, last = known[span.first], known[span.last]
        if last < first:
            raise InvalidField(f"{first}-{last} names no jobs: the first number is the lower one", field="id")
        if len(found) + last - first >= MOST:
            raise InvalidField(f"{first}-{last} are more than {MOST:,} jobs", hint="name fewer at once", field="id")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def _named(text: str) -> int | str:
    return int(text) if text.isdigit() else text.removesuffix("~0") if text.endswith("~0") else text


def _before_the_last(connection: Client, back: int) -> int:
    """The job that has `back` newer ones."""
    cursor: str | int | None = None
    left = back
    while True:
        page = connection.send(calls.jobs(limit=min(left + 1, _PAGE), cursor=cursor))
        if left < len(page.jobs):
            return page.jobs[left].id
        left -= len(page.jobs)
        cursor = page.next_cursor
        if cursor is None:
            raise JobNotFound(f"there are only {back - left} jobs, so there is no last~{back}", hint="wasmgrid jobs")
