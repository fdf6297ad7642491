"""Which database and which blobs a URL means."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from wasmgrid.core.errors import InvalidField
from wasmgrid.store.blobs import Blobs
from wasmgrid.store.database import Database
from wasmgrid.store.file_blobs import FileBlobs
from wasmgrid.store.sqlite import Sqlite

_HINT = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE · leave it out and the home holds the store"


def adapters(directory: Path, url: str | None) -> tuple[Database, Blobs]:
    """The database at `url` (None: a file in `directory`) and the blobs beside it. Raises `InvalidField`."""
    if url is not None and url.startswith(("postgresql://", "postgres://")):
        # Imported here: a grid of one server has no use for it.
        from wasmgrid.store.postgres import Postgres  # noqa: PLC0415
        from wasmgrid.store.postgres_blobs import RowBlobs  # noqa: PLC0415

        database = Postgres(url)
        return database, RowBlobs(database, directory / "incoming")
    return Sqlite(directory / "db.sqlite3" if url is None else _file_of(url)), FileBlobs(directory / "blobs")


def _file_of(url: str) -> Path:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername != "sqlite" or not parsed.database:
        raise InvalidField("this is not the URL of a store", hint=_HINT)
    return Path(parsed.database)
