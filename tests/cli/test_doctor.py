"""`doctor` finds what is wrong: installations that are broken on purpose, each in one way, and one that is not."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.e2e.grid import Grid, running
from tests.postgres import PostgresServer

from wasmgrid.build.provision import default_directory
from wasmgrid.cli.checks import homes, machine, reach, tools
from wasmgrid.cli.checks.check import Check
from wasmgrid.home import FabricEndpoint, Home
from wasmgrid.store.migrate import config


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of a server that ran, and that nothing else names."""
    for variable in ("WASMGRID_SERVER", "WASMGRID_STORE", "WASMGRID_NATS", "WASMGRID_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
    made = Home.default().create()
    made.ensure_token()
    return made


def only(checks: Iterator[Check], state: str) -> Check:
    """The one finding, which must be of this state and say what to do."""
    (found,) = checks
    assert found.state == state, found
    assert found.remedy or state == "ok"
    return found


# ---- the home


def test_a_home_that_is_well(home: Home) -> None:
    only(homes.home("home"), "ok")
    only(homes.secrets("secrets"), "ok")
    assert list(homes.lock("lock")) == list(homes.store("store")) == list(homes.tls("tls")) == []


def test_a_home_that_is_a_file(home: Home) -> None:
    shutil.rmtree(home.path)
    home.path.write_text("")
    assert "no directory" in only(homes.home("home"), "fail").found


def test_a_home_that_others_may_write_into(home: Home) -> None:
    home.path.chmod(0o777)
    assert f"chmod 700 {home.path}" in str(only(homes.home("home"), "fail").remedy)


def test_a_home_on_a_full_disk(home: Home) -> None:
    """As full as a process can make it for itself: no file may grow."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from wasmgrid.cli.checks import homes\n"
        "print(*[(check.state, check.found) for check in homes.home('home')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("('fail', ")
    assert "takes no write" in done.stdout


def test_a_token_that_others_may_read_or_that_is_empty(home: Home) -> None:
    home.token_file.chmod(0o644)
    assert f"chmod 600 {home.token_file}" in str(only(homes.secrets("secrets"), "fail").remedy)
    home.token_file.write_text("")
    home.token_file.chmod(0o600)
    assert "is empty" in only(homes.secrets("secrets"), "fail").found


# ---- who holds it


def test_a_home_that_is_held_in_silence_or_by_another(home: Home) -> None:
    home.lock_file.write_text("4711\n")
    assert only(homes.lock("lock"), "ok").found == "free"
    with home.lock_file.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "4711" in only(homes.lock("lock"), "warn").found
        home.endpoint_file.write_text("{")
        assert "kill 4711" in str(only(homes.lock("lock"), "fail").remedy)
        home.write_endpoint("http://127.0.0.1:1")
        only(homes.lock("lock"), "ok")
    assert "stale" in only(homes.lock("lock"), "warn").found


# ---- the store


def make_store(home: Home, revision: str) -> Path:
    path = home.store / "db.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        database.execute("CREATE TABLE filler AS SELECT randomblob(200000) AS bytes")
    database.close()
    return path


def test_a_database_of_this_release_of_an_earlier_and_of_a_later_one(home: Home) -> None:
    path = make_store(home, str(ScriptDirectory.from_config(config()).get_current_head()))
    assert only(homes.store("store"), "ok").found.endswith(str(path))
    for revision, state, words in (("0001", "ok", "at the next start"), ("9999", "fail", "newer release")):
        path.unlink()
        make_store(home, revision)
        assert words in only(homes.store("store"), state).found


@pytest.mark.parametrize("at", [0, 3 * 4096])
def test_a_database_that_is_damaged(home: Home, at: int) -> None:
    path = make_store(home, "0004")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(4096))
    found = only(homes.store("store"), "fail")
    assert "backup" in str(found.remedy)


def test_a_postgresql_that_is_away_and_one_that_is_there(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WASMGRID_STORE", "postgresql://grid:hunter2@127.0.0.1:1/grid")
    found = only(homes.store("store"), "fail")
    assert "hunter2" not in f"{found.found} {found.remedy}"
    assert "127.0.0.1" in found.found
    monkeypatch.setenv("WASMGRID_STORE", "postgresql://%%hunter2")
    assert "hunter2" not in only(homes.store("store"), "fail").found
    monkeypatch.setenv("WASMGRID_STORE", postgres.create("doctor"))
    assert only(homes.store("store"), "ok").found.startswith("PostgreSQL at ")


# ---- certificates


def certificate(file: Path, *, begins: int, ends: int) -> None:
    """One that is good from so many days from now until then."""
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now + dt.timedelta(begins), now + dt.timedelta(ends)
    )
    file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def test_certificates_that_are_over_that_soon_are_and_that_are_none(home: Home) -> None:
    file = home.tls / "server.pem"
    for begins, ends, state in ((-10, 300, "ok"), (-10, 20, "warn"), (-10, -1, "fail"), (5, 300, "fail")):
        certificate(file, begins=begins, ends=ends)
        only(homes.tls("tls"), state)
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    assert "no certificate" in only(homes.tls("tls"), "fail").found
    file.unlink()
    certificate(home.tls / "ca.pem", begins=-10, ends=-1)
    assert "new authority" in str(only(homes.tls("tls"), "fail").remedy)


# ---- the machine and its tools


@pytest.mark.parametrize(("files", "state"), [(256, "fail"), (1024, "warn"), (4096, "ok")])
def test_too_few_open_files(files: int, state: str) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))\n"
        "from wasmgrid.cli.checks import machine\n"
        "print(*[check.state for check in machine.limits('limits')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{state}\n"


def test_a_clock_before_this_release(monkeypatch: pytest.MonkeyPatch) -> None:
    only(machine.clock("clock"), "ok")
    monkeypatch.setattr(time, "time", lambda: 86400.0)
    assert "1970" in only(machine.clock("clock"), "fail").found


def test_a_toolchain_that_lost_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [each for each in default_directory().glob("quickjs-*") if each.is_dir()]
    if len(installed) < 2:
        pytest.skip("JavaScript's toolchain is not installed: wasmgrid toolchain install javascript")
    directory = tmp_path / "toolchains"
    for each in installed:
        shutil.copytree(each, directory / each.name)
    monkeypatch.setenv("WASMGRID_TOOLCHAINS", str(directory))

    def javascript() -> Check:
        (found,) = [check for check in tools.toolchains("toolchain") if check.found.startswith("javascript")]
        return found

    assert javascript().state == "ok"
    largest = max(directory.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    largest.unlink()
    assert javascript().state == "fail"
    assert "toolchain install javascript" in str(javascript().remedy)
    shutil.rmtree(directory)
    assert javascript().state == "warn"


# ---- what runs


def test_a_fabric_that_is_away_or_something_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(reach.nats("nats")) == []
    monkeypatch.setenv("WASMGRID_NATS", "nats://u:hunter2@127.0.0.1:1")
    found = only(reach.nats("nats"), "fail")
    assert "cannot be reached" in found.found
    assert "hunter2" not in found.found
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.delenv("WASMGRID_NATS")
        home.write_fabric(FabricEndpoint(url=f"nats://127.0.0.1:{listener.getsockname()[1]}"))
        monkeypatch.setattr(reach, "_CONNECT_S", 0.2)
        only(reach.nats("nats"), "fail")


def test_a_server_that_is_away_is_a_failure_with_its_exit_code(grid: Grid) -> None:
    done = grid.run("doctor", "--json", "-s", "127.0.0.1:1")
    assert done.returncode == 1
    (server,) = [check for check in json.loads(done.stdout) if check["name"] == "server"]
    assert server["state"] == "fail"
    assert server["remedy"]


def test_a_grid_that_is_well_and_then_killed(tmp_path: Path) -> None:
    with running(tmp_path / "grid") as grid:

        def states() -> tuple[int, dict[str, str]]:
            done = grid.run("doctor", "--json")
            found = json.loads(done.stdout)
            assert all(check["remedy"] for check in found if check["state"] != "ok"), found
            return done.returncode, {check["name"]: check["state"] for check in found if check["name"] != "toolchain"}

        code, well = states()
        assert code == 0
        assert {well[name] for name in ("home", "lock", "secrets", "store", "nats", "server", "workers")} == {"ok"}
        os.kill(grid.pid, signal.SIGKILL)
        assert grid.gone()  # its children die with it
        code, killed = states()
        assert code == 0
        assert killed["lock"] == "warn"
