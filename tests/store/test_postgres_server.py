"""The PostgreSQL of the tests: it keeps what it was given over a kill, and does not outlive who started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from tests import postgres as helper
from tests.postgres import PostgresServer
from tests.processes import runs

ROOT = Path(__file__).parents[2]
CHILD = """
import sys, time
from pathlib import Path
from tests.postgres import PostgresServer
server = PostgresServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("namespaces", [True, False])
def test_it_keeps_its_data_and_its_port_over_a_kill(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespaces: bool
) -> None:
    if not namespaces:
        monkeypatch.setattr(helper, "can_map_users", lambda: False)
    with PostgresServer(tmp_path / "own") as server:
        url = server.create("kept")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        for end in (server.kill, server.stop):
            end()
            end()
            server.start()
            server.start()
            with psycopg.connect(server.url("kept")) as connection:
                assert connection.execute("SELECT n FROM t").fetchone() == (1,)
        data, pid = server.data, server.pid
    assert not runs(pid)
    assert data.exists() == (data.parent == server.directory)  # where it had to be elsewhere, nothing is left there


def test_it_dies_with_who_started_it(postgres: PostgresServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "own")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            pid = int(child.stdout.readline())
            assert runs(pid)
        finally:
            child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
