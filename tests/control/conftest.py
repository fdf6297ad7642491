"""One grid of two servers for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.control.servers import Pool, pool


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Two servers, a PostgreSQL, a NATS and a worker."""
    with pool(tmp_path_factory.mktemp("servers")) as made:
        yield made
