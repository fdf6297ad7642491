"""A thousand seeds, in two files for two test processes: this is one half."""

from __future__ import annotations

import pytest
from tests.simulation.block import BLOCK, hold


@pytest.mark.parametrize("block", range(5))
def test_whatever_fails_every_promise_holds(block: int) -> None:
    hold(1 + block * BLOCK)
