"""The home: whether it can be used, who holds it, its secrets, its database, its certificates."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wasmgrid.cli.checks.check import Check, fail, ok, warn
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import HOME_VARIABLE, Home

SOON = timedelta(days=30)
_CONNECT_S = 5


def home(name: str) -> Iterator[Check]:
    """Whether it is ours alone, and takes a write."""
    place = Home.default()
    elsewhere = f"set ${HOME_VARIABLE} to another directory"
    if not place.path.exists():
        yield ok(name, f"{place.path} (made by the first `wasmgrid up`)")
        return
    if not place.path.is_dir():
        yield fail(name, f"{place.path} is no directory", elsewhere)
        return
    status = place.path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield fail(name, f"others may write into {place.path}", f"chmod 700 {place.path}, or set ${HOME_VARIABLE}")
        return
    try:
        with tempfile.NamedTemporaryFile(dir=place.path, prefix=".doctor-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield fail(name, f"{place.path} takes no write: {error.strerror}", f"make room, or {elsewhere}")
        return
    yield ok(name, f"{place.path}, it takes writes")


def lock(name: str) -> Iterator[Check]:
    """Whether what the home says of its server agrees with whether one holds it."""
    place = Home.default()
    if not place.lock_file.exists():
        return
    held, said = _is_held(place.lock_file), place.endpoint_file.exists()
    holder = place.lock_file.read_text(encoding="ascii", errors="replace").strip() or "unknown"
    if held and not said:
        remedy = f"if it is not just starting or stopping: look at {place.logs / 'server.log'}, then kill {holder}"
        yield warn(name, f"process {holder} holds the home and does not say where it listens", remedy)
    elif held and place.endpoint() is None:
        remedy = f"stop it and start again: kill {holder}; wasmgrid up"
        yield fail(name, f"process {holder} holds the home, endpoint.json is of another one or damaged", remedy)
    elif said and not held:
        remedy = "start it again, nothing that was accepted is lost: wasmgrid up"
        yield warn(name, "a server ended without saying so (killed?): endpoint.json is stale", remedy)
    else:
        yield ok(name, f"held by process {holder}" if held else "free")


def secrets(name: str) -> Iterator[Check]:
    """That they are there, and nobody else's to read."""
    place = Home.default()
    files = [place.token_file, place.fabric_file, *sorted(place.tls.glob("*.key"))]
    there = [file for file in files if file.exists()]
    for file in there:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield fail(name, f"others may read {file}", f"chmod 600 {file}; if they did: rm it, and start again")
            return
    try:
        token = place.token() if place.token_file.exists() else ""
    except WasmgridError as error:
        yield fail(name, error.message, error.hint or f"rm {place.token_file}, and start again")
        return
    if token:
        yield ok(name, f"{len(there)} file{'' if len(there) == 1 else 's'}, 0600")


def store(name: str) -> Iterator[Check]:
    """That the database can be opened, and is of this release or one before."""
    from wasmgrid.cli.grid import STORE_VARIABLE  # noqa: PLC0415

    url = os.environ.get(STORE_VARIABLE, "")
    if url.startswith(("postgresql://", "postgres://")):
        yield from _postgres(name, url)
        return
    path = Path(url.removeprefix("sqlite:///")) if url else Home.default().store / "db.sqlite3"
    if not path.exists():
        return
    damaged = f"stop the grid, and restore {path} from a backup"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_CONNECT_S)) as database:
            (checked,) = database.execute("PRAGMA quick_check(1)").fetchone() if _is_small(path) else ("ok",)
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        yield fail(name, f"{path} cannot be read: {error}", damaged)
        return
    if checked != "ok":
        yield fail(name, f"{path} is damaged: {checked}", damaged)
        return
    yield from _schema(name, f"SQLite, {path}", row[0] if row else "")


def _is_small(path: Path) -> bool:
    return path.stat().st_size < 200 << 20  # a check reads all of it


def _postgres(name: str, url: str) -> Iterator[Check]:
    import psycopg  # noqa: PLC0415 -- only where there is one

    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_S) as connection:
            where = f"PostgreSQL at {connection.info.host}, database {connection.info.dbname}"
            there = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            row = None
            if there is not None and there[0] is not None:
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.Error as error:
        # The words of a failed connection name host, port and user, never the password; those of a bad URL might.
        words = " ".join(str(error).split()) if isinstance(error, psycopg.OperationalError) else "its URL is none"
        yield fail(name, f"PostgreSQL cannot be reached: {words}", "look at $WASMGRID_STORE, and whether it runs")
        return
    yield from _schema(name, where, row[0] if row else "")


def _schema(name: str, where: str, revision: str) -> Iterator[Check]:
    """Whether this release knows the schema's revision."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from wasmgrid.store.migrate import config  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(config())
    known = {script.revision for script in scripts.walk_revisions()}
    if revision and revision not in known:
        yield fail(name, f"{where}: of a newer release (schema {revision})", "run the newer wasmgrid here")
    else:
        later = "" if revision == scripts.get_current_head() else ", brought up to date at the next start"
        yield ok(name, f"{where}{later}")


def tls(name: str) -> Iterator[Check]:
    """How long the certificates are good."""
    place = Home.default()
    for file in (place.tls / "ca.pem", place.tls / "server.pem"):
        if file.exists():
            yield _certificate(name, file, brought=(place.tls / "brought").exists())


def _certificate(name: str, file: Path, *, brought: bool) -> Check:
    from cryptography import x509  # noqa: PLC0415 -- 60 ms, which a grid without TLS does not pay

    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        return fail(name, f"{file} is no certificate", f"move it away, and start again: mv {file} {file}.bad")
    ends, begins, now = certificate.not_valid_after_utc, certificate.not_valid_before_utc, datetime.now(UTC)
    anew = "make it anew where its authority is: wasmgrid cluster init" if brought else "wasmgrid down; wasmgrid up"
    if file.name == "ca.pem":
        anew = f"make a new authority (its clients and workers need it, too): rm -r {file.parent}, and start again"
    if now > ends:
        return fail(name, f"{file} ended on {ends:%Y-%m-%d}: nobody trusts it any more", anew)
    if now < begins:
        return fail(name, f"{file} is good from {begins:%Y-%m-%d} on, and today is {now:%Y-%m-%d}", "set the clock")
    if ends - now < SOON:
        return warn(name, f"{file} ends on {ends:%Y-%m-%d}", anew)
    return ok(name, f"{file.name} is good until {ends:%Y-%m-%d}")


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
