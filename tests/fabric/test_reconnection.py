"""A lost connection, to a server that is gone, hangs or has moved: whoever waits learns, and everyone comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from wasmgrid.core import wire
from wasmgrid.core.errors import TimedOutWaiting, Unreachable
from wasmgrid.fabric import connection

InGrid = Callable[[Callable[[Any], Awaitable[None]]], None]
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

SUBJECT = "wasmgrid.test"
QUESTION = wire.BlobPutAck(received=1)


async def _echo(message: wire.Message, _reply: str) -> wire.Message:
    return message


def test_nats_killed_and_restarted_everyone_is_back(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        notices: list[str] = []

        async def lost() -> None:
            notices.append("lost")

        async def back() -> None:
            notices.append("back")

        server = await grid.connect("server", on_disconnect=lost, on_reconnect=back)
        client = await grid.connect("client")
        await server.serve(SUBJECT, _echo)
        for round_number in range(1, 3):
            os.kill(grid.nats.pid, signal.SIGKILL)

            async def answered() -> bool:
                try:
                    await client.request(SUBJECT, QUESTION, timeout_s=30)
                except (Unreachable, TimedOutWaiting):
                    return False
                return notices == ["lost", "back"] * round_number  # noqa: B023 -- awaited within the round

            await eventually(answered)

    in_grid(test)


def test_requests_under_way_learn_of_a_lost_connection(in_grid: InGrid) -> None:
    async def never(_message: wire.Message, _reply: str) -> None:
        await asyncio.Event().wait()

    async def test(grid: Any) -> None:
        server, client = await grid.connect(), await grid.connect()
        await server.serve(SUBJECT, never)
        asked = asyncio.create_task(client.request(SUBJECT, QUESTION, timeout_s=600))
        assert await client.reachable(30)
        os.kill(grid.nats.pid, signal.SIGKILL)
        with pytest.raises(TimedOutWaiting, match="broke"):
            await asked

    in_grid(test)


def test_a_server_that_hangs_is_a_lost_one(
    in_grid: InGrid, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PROBE_EVERY_S", 0.05)
    monkeypatch.setattr(connection, "_PROBE_WAIT_S", 0.2)

    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        await fabric.serve(SUBJECT, _echo)
        nats = grid.nats.pid
        os.kill(nats, signal.SIGSTOP)
        try:

            async def disconnected() -> bool:
                return not fabric.connected

            await eventually(disconnected)
        finally:
            os.kill(nats, signal.SIGCONT)

        async def answered() -> bool:
            try:
                await fabric.request(SUBJECT, QUESTION, timeout_s=30)
            except (Unreachable, TimedOutWaiting):
                return False
            return True

        await eventually(answered)

    in_grid(test)


def test_it_finds_a_server_that_moved_to_another_port(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        await fabric.serve(SUBJECT, _echo)
        await grid.nats.stop()
        grid.home.fabric_file.unlink()
        moved = await grid.nats.start()
        assert moved.url != grid.endpoint.url

        async def answered() -> bool:
            try:
                await fabric.request(SUBJECT, QUESTION, timeout_s=30)
            except (Unreachable, TimedOutWaiting):
                return False
            return True

        await eventually(answered)

    in_grid(test)


def test_without_a_connection_nothing_waits(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        await grid.nats.stop()

        async def disconnected() -> bool:
            return not fabric.connected

        await eventually(disconnected)
        with pytest.raises(Unreachable):
            await fabric.publish(SUBJECT, QUESTION)
        with pytest.raises(Unreachable):
            await fabric.request(SUBJECT, QUESTION, timeout_s=600)
        assert not await fabric.reachable(600)
        await fabric.serve(SUBJECT, _echo)  # known once there is a connection
        await grid.nats.start()

        async def answered() -> bool:
            try:
                await fabric.request(SUBJECT, QUESTION, timeout_s=30)
            except (Unreachable, TimedOutWaiting):
                return False
            return True

        await eventually(answered)

    in_grid(test)
