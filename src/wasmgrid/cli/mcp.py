"""`mcp`: the grid as tools for agents, over standard input and output."""

from __future__ import annotations

import importlib.util
import sys

import click

from wasmgrid.cli import options
from wasmgrid.cli.connecting import client_or_start
from wasmgrid.core.errors import Unavailable

_NEEDS = "mcp>=2.3,<3"


@click.command()
@click.option(
    "--most-time",
    type=options.Duration(),
    default=300.0,
    metavar="DURATION",
    help="The longest time limit that an agent may ask for [default: 5m].",
)
@click.option(
    "--most-memory-mb",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    help="The most memory that an agent may ask for.",
)
@click.option("--all-jobs", is_flag=True, help="Let it see and cancel every job, not only those that it submitted.")
@options.server
def mcp(server: str | None, most_time: float, most_memory_mb: int, all_jobs: bool) -> int:
    """Offer the grid to an AI agent as tools, over standard input and output (the Model Context Protocol).

    Not for a person to type: an agent's configuration names it as a server, command `wasmgrid`, argument `mcp`. The
    agent can then run programs in every language of the grid under limits that it cannot raise. With no grid running,
    its first call starts one.
    """
    if importlib.util.find_spec("mcp") is None:
        raise Unavailable(
            "the package mcp is not installed, and agents are spoken to through it",
            hint=f"install it: {sys.executable} -m pip install {_NEEDS!r}",
        )
    import anyio  # noqa: PLC0415 -- as the package above, and all that this command needs

    from wasmgrid.mcp.server import serve  # noqa: PLC0415
    from wasmgrid.mcp.session import Bounds, Session  # noqa: PLC0415
    from wasmgrid.sdk.async_client import AsyncClient  # noqa: PLC0415

    def connect() -> AsyncClient:
        client_or_start(server).close()
        return AsyncClient(server)

    bounds = Bounds(time_limit_s=most_time, memory_mb=most_memory_mb, all_jobs=all_jobs)
    anyio.run(serve, Session(connect, bounds))
    return 0
