"""Every adapter passes the same tests: SQLite with files, PostgreSQL with rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.conformance.samples import Adapter, FileAdapter, RowAdapter
from tests.postgres import PostgresServer

from wasmgrid.store import Store

ADAPTERS = ["sqlite", "postgresql"]
TEMPLATE = "conformance"

Make = Callable[[Path], AbstractContextManager[Adapter]]


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> PostgresServer:
    """A PostgreSQL where `TEMPLATE` is an empty store."""

    async def migrate() -> None:
        await (await Store.open(tmp_path_factory.mktemp("template"), url=url)).close()

    url = postgres.create(TEMPLATE)
    asyncio.run(migrate())
    return postgres


@pytest.fixture(scope="session", params=ADAPTERS)
def new_adapter(request: pytest.FixtureRequest) -> Make:
    """Makes empty stores of each kind, for tests that need several."""
    if request.param == "sqlite":
        return lambda home: contextlib.nullcontext(FileAdapter(home))
    server: PostgresServer = request.getfixturevalue("migrated")

    @contextlib.contextmanager
    def make(home: Path) -> Iterator[Adapter]:
        with server.temporary(TEMPLATE) as url:
            yield RowAdapter(home, url)

    return make


@pytest.fixture
def adapter(new_adapter: Make, tmp_path: Path) -> Iterator[Adapter]:
    """An empty store of each kind."""
    with new_adapter(tmp_path) as made:
        yield made


@pytest.fixture
def shared(migrated: PostgresServer, tmp_path: Path) -> Iterator[RowAdapter]:
    """An empty store that several servers may have open."""
    with migrated.temporary(TEMPLATE) as url:
        yield RowAdapter(tmp_path / "first", url)
