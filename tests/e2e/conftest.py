"""What tests at a real grid share."""

from __future__ import annotations

import pytest
from tests.e2e.grid import Grid

from wasmgrid.sdk import calls


@pytest.fixture(scope="module")
def c(grid: Grid) -> None:
    """The C toolchain, where it can be had."""
    with grid.client() as client:
        found = client.send(calls.toolchains()).toolchains
    if not any(tool.language == "c" and tool.ready for tool in found):
        pytest.skip("no C toolchain is installed here: wasmgrid toolchain install c")
