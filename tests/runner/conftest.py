"""Runners for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.runner.bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Runners for the tests of one file."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    try:
        yield made
    finally:
        made.close()
