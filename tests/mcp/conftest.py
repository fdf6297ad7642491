"""An agent: the official client, which starts `wasmgrid mcp` as a configuration names it and talks over its pipes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from tests.e2e.grid import WASMGRID, Grid

import mcp


@dataclass
class Agent:
    """A session. `call` gives the answer as its JSON; `result` all of it."""

    portal: BlockingPortal
    client: mcp.Client

    def result(self, tool: str, **arguments: Any) -> Any:
        """What the protocol carries."""
        return self.portal.call(self.client.call_tool, tool, arguments)

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a call that came to something, and that succeeded."""
        result = self.result(tool, **arguments)
        assert not result.is_error, result.content
        return dict(result.structured_content)

    def failure(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a call that is to fail."""
        result = self.result(tool, **arguments)
        assert result.is_error, result.content
        return dict(result.structured_content)


def parameters(grid: Grid, *flags: str, **variables: str) -> mcp.StdioServerParameters:
    """How an agent's configuration names the server."""
    return mcp.StdioServerParameters(
        command=WASMGRID, args=["mcp", *flags], env={**grid.environment, **variables}, cwd=grid.directory
    )


@contextmanager
def talking(grid: Grid, *flags: str, **variables: str) -> Iterator[Agent]:
    """A session until the end of the block."""
    with start_blocking_portal() as portal:
        client = mcp.Client(mcp.stdio_client(parameters(grid, *flags, **variables)))
        with portal.wrap_async_context_manager(client):
            yield Agent(portal, client)


@pytest.fixture(scope="module")
def agent(grid: Grid) -> Iterator[Agent]:
    """A session that the tests of a module share."""
    with talking(grid) as started:
        yield started
