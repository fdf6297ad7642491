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

from wasmgrid.core.errors import InvalidField, Unavailable, Unreachable
from wasmgrid.fabric import credentials, embedded
from wasmgrid.fabric.authorization import User
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


def test_one_that_hangs_is_killed_and_started_again(
    in_grid: InGrid, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(embedded, "_CHECK_WAIT_S", 1.0)

    async def test(grid: Any) -> None:
        first = grid.nats.pid
        fabric = await grid.connect()
        os.kill(first, signal.SIGSTOP)

        async def another() -> bool:
            return grid.nats.pid not in {None, first} and await fabric.reachable(1.0)

        await eventually(another)
        assert not runs(first)

    in_grid(test)


def test_one_that_cannot_be_looked_at_is_left_alone(in_grid: InGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_CHECK_EVERY_S", 0.01)

    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        first, tried = grid.nats.pid, asyncio.Event()
        looked = 0

        async def no_descriptors(*_args: object, **_options: object) -> None:
            nonlocal looked
            looked += 1
            if looked > 10:
                tried.set()
            raise Unreachable("no") from OSError(24, "Too many open files")

        monkeypatch.setattr(embedded, "open_link", no_descriptors)
        await asyncio.wait_for(tried.wait(), DEADLINE_S)
        assert grid.nats.pid == first
        assert await fabric.reachable(DEADLINE_S)

    in_grid(test)


def test_beyond_loopback_it_has_tls_for_all_and_keeps_its_port_and_credential(tmp_path: Path) -> None:
    async def once(listen: str | None) -> tuple[FabricEndpoint, int]:
        nats = EmbeddedNats(Home(tmp_path / "home").create(), listen=listen)
        try:
            endpoint = await nats.start()
            fabric = await Fabric.connect(endpoint, name="near", wait_s=DEADLINE_S)
            await fabric.close()
            return endpoint, nats.port
        finally:
            await nats.stop()

    endpoint, port = asyncio.run(once("0.0.0.0:0"))
    assert endpoint.url == f"tls://127.0.0.1:{port}"
    assert endpoint.ca is not None
    assert asyncio.run(once(f"0.0.0.0:{port}")) == (endpoint, port)
    plain, _ = asyncio.run(once(None))  # and back to this machine alone
    assert plain == FabricEndpoint(
        url=f"nats://127.0.0.1:{port}", user=endpoint.user, password=endpoint.password, embedded=True
    )


def test_a_port_that_was_asked_for_and_is_taken_is_said(tmp_path: Path) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            nats = EmbeddedNats(Home(tmp_path / "home").create(), listen=listen)
            with pytest.raises(Unavailable, match="taken"):
                await nats.start()
            await nats.stop()

    asyncio.run(test())


@pytest.mark.parametrize("listen", ["", "host", "host:", "host:x", "host:99999", "[::1"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    with pytest.raises(InvalidField, match="HOST:PORT"):
        EmbeddedNats(Home(tmp_path), listen=listen)


def test_credentials_are_admitted_again_after_a_crash_and_no_seed_is_written(
    in_grid: InGrid, eventually: Eventually
) -> None:
    async def test(grid: Any) -> None:
        seed, public_key = credentials.make()
        await grid.nats.reload([User(name="w1", kind="worker", public_key=public_key)])
        first = grid.nats.pid
        os.kill(first, signal.SIGKILL)

        async def another() -> bool:
            return grid.nats.pid not in {None, first}

        await eventually(another)
        worker = FabricEndpoint(url=grid.endpoint.url, seed=seed)
        fabric = await Fabric.connect(worker, name="w1", inbox="w1", wait_s=DEADLINE_S)
        assert await fabric.reachable(DEADLINE_S)
        await fabric.close()
        for path in grid.home.path.rglob("*"):
            assert path.is_dir() or seed not in path.read_text(errors="replace")

    in_grid(test)


def test_many_reloads_at_once_end_with_the_last(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        made = [(f"w{number}", *credentials.make()) for number in range(5)]
        users = [User(name=name, kind="worker", public_key=key) for name, _, key in made]
        await asyncio.gather(*(grid.nats.reload(users[: number + 1]) for number in range(5)))
        for name, seed, _ in made:
            endpoint = FabricEndpoint(url=grid.endpoint.url, seed=seed)
            fabric = await Fabric.connect(endpoint, name=name, inbox=name, wait_s=DEADLINE_S)
            await fabric.close()

    in_grid(test)
