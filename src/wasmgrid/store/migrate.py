"""Bring a database to this release's schema; run at every start, a moment's work where nothing is to be done."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from wasmgrid.core.errors import Unavailable
from wasmgrid.store.database import Database

SCRIPTS = Path(__file__).parent / "migrations"


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration, without a file: the scripts are in this package, the connection is given."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(database: Database) -> None:
    """Migrate `database`, all the way or not at all. Raises `Unavailable` where it cannot be read, or is newer."""
    database.prepare()
    engine = database.migrations()
    try:
        with engine.begin() as connection:
            settings = config(connection)
            if _revision(connection) != ScriptDirectory.from_config(settings).get_current_head():
                command.upgrade(settings, "head")
    except sa.exc.DBAPIError as error:
        raise database.unavailable(error) from error
    except CommandError as error:
        raise Unavailable(
            f"the store in {database.place} was written by a newer wasmgrid: {error}",
            hint="install that version again: pip install --upgrade wasmgrid",
        ) from error
    finally:
        engine.dispose()


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
