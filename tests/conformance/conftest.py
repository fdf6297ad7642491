"""Every adapter passes the same tests; PostgreSQL joins by a line here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from tests.conformance.samples import Adapter

ADAPTERS = ["sqlite"]

settings.register_profile("store", max_examples=25, deadline=None)
settings.load_profile("store")


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    """An empty store of each kind."""
    assert request.param == "sqlite"
    return Adapter(home=tmp_path)
