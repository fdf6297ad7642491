"""The embedded nats-server: private, restarted, and never there without its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from tests.processes import runs

from wasmgrid.core.errors import Unreachable
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.home import FabricEndpoint, Home

InGrid = Callable[[Callable[[Any], Awaitable[None]]], None]
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
DEADLINE_S = 60.0

PARENT = """
import asyncio, sys
from pathlib import Path
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.home import Home

async def main():
    nats = EmbeddedNats(Home(Path(sys.argv[1])).create())
    await nats.start()
    print(nats.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_kill_9_of_the_parent_leaves_no_nats_server(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PARENT, str(tmp_path / "home")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        nats_pid = int(parent.stdout.readline())
        try:
            assert runs(nats_pid)
            parent.kill()
            parent.wait()
            deadline = time.monotonic() + DEADLINE_S
            while runs(nats_pid):
                assert time.monotonic() < deadline, "nats-server outlived its parent"
                time.sleep(0.01)
        finally:
            parent.kill()
            if runs(nats_pid):
                os.kill(nats_pid, signal.SIGKILL)


@pytest.mark.parametrize("credential", [(None, None), ("wasmgrid", "guess"), ("", "")])
def test_a_connection_without_the_credential_is_refused(
    in_grid: InGrid, credential: tuple[str | None, str | None]
) -> None:
    async def test(grid: Any) -> None:
        user, password = credential
        stranger = FabricEndpoint(url=grid.endpoint.url, user=user, password=password)
        with pytest.raises(Unreachable, match=r"(?i)authorization|reset by peer"):
            await Fabric.connect(stranger, name="stranger", wait_s=1)

    in_grid(test)


def test_the_credential_is_in_private_files_only(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        password = grid.endpoint.password
        pid = grid.nats.pid
        process = psutil.Process(pid)
        assert password not in " ".join([*process.cmdline(), *process.environ().values()])
        await grid.connect()
        holders = {path for path in grid.home.path.rglob("*") if path.is_file() and password in path.read_text()}
        assert holders == {grid.home.fabric_file, grid.home.nats / "authorization.conf"}
        assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
        assert (grid.home.logs / "nats.log").exists()

    in_grid(test)


def test_it_listens_on_loopback_alone_and_states_its_payload_limit(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        assert urlsplit(grid.endpoint.url).hostname == "127.0.0.1"
        fabric = await grid.connect()
        assert fabric._client is not None
        assert fabric._client.max_payload == 1 << 20

    in_grid(test)


def test_port_and_credential_stay_over_restarts(tmp_path: Path) -> None:
    async def once() -> FabricEndpoint:
        nats = EmbeddedNats(Home(tmp_path / "home").create())
        try:
            return await nats.start()
        finally:
            await nats.stop()

    assert asyncio.run(once()) == asyncio.run(once())


def test_a_taken_port_gives_way_to_another_with_the_same_credential(tmp_path: Path) -> None:
    async def test() -> None:
        home = Home(tmp_path / "home").create()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"nats://127.0.0.1:{taken.getsockname()[1]}"
            home.write_fabric(FabricEndpoint(url=url, user="wasmgrid", password="kept", embedded=True))
            nats = EmbeddedNats(home)
            endpoint = await nats.start()
        try:
            assert endpoint.url != url
            assert endpoint.password == "kept"
            assert home.fabric() == endpoint
        finally:
            await nats.stop()

    asyncio.run(test())


def test_it_is_started_again_when_it_dies(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        first = grid.nats.pid
        os.kill(first, signal.SIGKILL)

        async def another() -> bool:
            return grid.nats.pid not in {None, first}

        await eventually(another)
        await grid.connect()

    in_grid(test)
