"""What the tests of the clients share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sdk.scripted import Scripted, serving


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripted]:
    """A server that answers as the test says; no other is configured."""
    for name in ("WASMGRID_SERVER", "WASMGRID_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
    with serving() as script:
        yield script
