"""What a shell is offered behind the cursor: jobs, workers, languages. Quick, and silent about whatever is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from wasmgrid.sdk.client import Client

ANSWER_S = 0.5  # a server that takes longer is not waited for: somebody holds the Tab key
_MOST = 30


def jobs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The newest jobs, and `last`; behind a comma or a dash, the next of them."""
    said, separator, begun = incomplete.rpartition(",")
    dash = begun.rfind("-")
    if dash >= 0:
        said, separator, begun = said + separator + begun[:dash], "-", begun[dash + 1 :]
    connection = _client(ctx)
    offered = [("last", "the newest job")]
    if connection is not None:
        with connection:
            from wasmgrid.sdk import calls  # noqa: PLC0415 -- see `_client`

            offered += [
                (str(job.id), f"{job.state} {job.name}".strip())
                for job in connection.send(calls.jobs(limit=_MOST)).jobs
            ]
    return _items(offered, begun, said + separator)


def workers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The workers that are there."""
    connection = _client(ctx)
    if connection is None:
        return []
    with connection:
        return _items([(each.id, each.state) for each in connection.workers()], incomplete)


def languages(incomplete: str) -> list[CompletionItem]:
    """The languages that this version knows."""
    from wasmgrid.build.toolchains import LANGUAGES  # noqa: PLC0415 -- only who asks pays for it

    return _items([(name, "") for name in sorted(LANGUAGES)], incomplete)


def variables(incomplete: str) -> list[CompletionItem]:
    """The names of this shell's variables."""
    return [] if "=" in incomplete else _items([(name, "") for name in sorted(os.environ)], incomplete)


def _items(offered: Iterable[tuple[str, str]], begun: str, before: str = "") -> list[CompletionItem]:
    return [CompletionItem(before + word, help=text or None) for word, text in offered if word.startswith(begun)]


def _client(ctx: click.Context) -> Client | None:
    """A client that does not wait; None where there is nobody to ask."""
    from wasmgrid.core.errors import WasmgridError  # noqa: PLC0415 -- a completion imports what it needs alone
    from wasmgrid.sdk.client import Client  # noqa: PLC0415

    try:
        return Client(ctx.params.get("server"), timeout_s=ANSWER_S)
    except WasmgridError:
        return None
