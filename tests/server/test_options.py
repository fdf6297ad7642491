"""What a server is asked for and cannot be: refused at once, in words, before anything is started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wasmgrid.core.errors import InvalidField
from wasmgrid.fabric.credentials import Credential, make
from wasmgrid.home import Home
from wasmgrid.server.process import ServeOptions, serve


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"listen": "203.0.113.77"}, "cannot listen on '203.0.113.77': "),
        ({"listen": "no.such.name.invalid"}, "cannot listen on 'no.such.name.invalid': "),
        ({"host": "0.0.0.0"}, "without TLS"),  # noqa: S104 -- refused
        ({"lease_s": 0.0}, "the lease cannot be 0 s, 2 s is the least"),
        ({"lease_s": float("nan")}, "the lease cannot be nan"),
        ({"fabric_port": 4222}, "--fabric-port is where"),
        ({"fabric_port": 4222, "listen": "127.0.0.1", "nats_url": "nats://127.0.0.1:1"}, "--fabric-port is where"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(InvalidField) as refused:
        asyncio.run(serve(ServeOptions(home=home, **asked)))
    assert said in refused.value.message
    assert not home.path.exists()


def test_a_workers_credential_makes_no_server(tmp_path: Path) -> None:
    path = tmp_path / "pool1.json"
    Credential(name="pool1", kind="worker", nats_url="nats://127.0.0.1:1", seed=make()[0], ca="").write(path)
    with pytest.raises(InvalidField, match="pool1 is the credential of a worker"):
        asyncio.run(serve(ServeOptions(home=Home(tmp_path / "home"), nats_credential=path)))


def test_a_server_waits_for_a_nats_that_is_away_and_can_be_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wasmgrid", "server", "--port", "0", "--nats", "nats://127.0.0.1:1"]
    environment = os.environ | {"WASMGRID_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            assert line.startswith("waiting for the fabric: no fabric at nats://127.0.0.1:1: connection refused")
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
        finally:
            server.kill()
