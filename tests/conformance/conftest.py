"""Every adapter passes the same tests; PostgreSQL joins by a line here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.samples import Adapter

ADAPTERS = ["sqlite"]


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    """An empty store of each kind."""
    assert request.param == "sqlite"
    return Adapter(home=tmp_path)
