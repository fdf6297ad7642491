"""What the tests of all areas share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.e2e.grid import Grid, running
from tests.postgres import NoPostgresError, PostgresServer

# A shell that starts the tests in the background has SIGINT ignored; whatever they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("wasmgrid", deadline=None)  # a busy machine is no reason to fail a property
settings.load_profile("wasmgrid")


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A real grid, shared: jobs are its tests' own, stopping it is not theirs. See `running` for one to be broken."""
    with running(tmp_path_factory.mktemp("grid")) as started:
        yield started


@pytest.fixture(scope="module")
def own_grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A real grid for one module, which may stop it and start it again."""
    with running(tmp_path_factory.mktemp("own-grid")) as started:
        yield started


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL, shared: a test makes a database of its own there, and a server of its own to break it."""
    try:
        server = PostgresServer(tmp_path_factory.mktemp("postgres"))
        server.start()
    except NoPostgresError as reason:
        pytest.skip(f"no PostgreSQL can be run here: {reason}")
    with server:
        yield server
