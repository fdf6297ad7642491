"""One grid of several servers for a module of tests, each of which leaves it as it found it: well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.chaos.grid import ChaosGrid, Layout, cables, running
from tests.chaos.network import why_not
from tests.chaos.user import User


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosGrid]:
    """Two servers, three NATS, four workers and a builder, with cables where they can be had."""
    layout = Layout(cables=cables())
    with running(tmp_path_factory.mktemp("pool") / "grid", layout) as grid:
        yield grid


@pytest.fixture
def wired(pool: ChaosGrid) -> ChaosGrid:
    """The same, where its cables can be cut."""
    if pool.network is None:
        pytest.skip(f"NO NETWORK CUTS: {why_not()}")
    return pool


@pytest.fixture
def user(pool: ChaosGrid) -> Iterator[User]:
    """Somebody at a grid that is well, before and after."""
    pool.settle()
    yield User(pool)
    for name, part in pool.parts.items():
        if part.alive:
            part.resume()
            if pool.network is not None:
                pool.heal(name)
        else:
            pool.restart(name)
    pool.settle()
