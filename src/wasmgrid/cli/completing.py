"""What a shell is offered behind the cursor: jobs, workers, languages. Quick, and silent about whatever is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk import calls
from wasmgrid.sdk.calls import Call
from wasmgrid.sdk.client import Client

T = TypeVar("T")

ANSWER_S = 0.5  # a server that takes longer is not waited for: somebody holds the Tab key
_MOST = 30


def jobs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The newest jobs, and `last`; behind a comma or a dash, the next of them."""
    said, separator, begun = incomplete.rpartition(",")
    dash = begun.rfind("-")
    if dash >= 0:
        said, separator, begun = said + separator + begun[:dash], "-", begun[dash + 1 :]
    there = [
        (str(job.id), f"{job.state} {job.name}".strip())
        for page in _asked(ctx, lambda: calls.jobs(limit=_MOST))
        for job in page.jobs
    ]
    return _items([("last", "the newest job"), *there], begun, said + separator)


def workers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The workers that are there."""
    there = [(each.id, each.state) for page in _asked(ctx, calls.workers) for each in page.workers]
    return _items(there, incomplete)


def languages(incomplete: str) -> list[CompletionItem]:
    """The languages that this version knows."""
    from wasmgrid.build.toolchains import LANGUAGES  # noqa: PLC0415 -- only who asks pays for it

    return _items([(name, "") for name in sorted(LANGUAGES)], incomplete)


def variables(incomplete: str) -> list[CompletionItem]:
    """The names of this shell's variables."""
    return [] if "=" in incomplete else _items([(name, "") for name in sorted(os.environ)], incomplete)


def _items(offered: Iterable[tuple[str, str]], begun: str, before: str = "") -> list[CompletionItem]:
    return [CompletionItem(before + word, help=text or None) for word, text in offered if word.startswith(begun)]


def _asked(ctx: click.Context, call: Callable[[], Call[T]]) -> list[T]:
    """The server's answer, alone in a list; an empty one where there is none."""
    try:
        with Client(ctx.params.get("server"), timeout_s=ANSWER_S) as client:
            return [client.send(call())]
    except WasmgridError:
        return []
