"""Mixed versions of wasmgrid: each side is told in words, and goes on with those that it understands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from wasmgrid.core import wire
from wasmgrid.core.errors import ProtocolMismatch
from wasmgrid.fabric import subjects

InGrid = Callable[[Callable[[Any], Awaitable[None]]], None]
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

HEARTBEAT = wire.Heartbeat(worker_id="w1", incarnation="x", term=1, assigned_seq=0)
OTHER = bytes([wire.PROTOCOL_VERSION + 1])


def _of_another_version(message: wire.Message) -> bytes:
    return OTHER + wire.encode(message)[1:]


class FakeVersion:
    """A side that speaks another version: frames go out with its number, and what comes in is kept."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.got: list[bytes] = []

    @classmethod
    async def connect(cls, grid: Any, subject: str) -> FakeVersion:
        client = Client()
        await client.connect(grid.endpoint.url, user=grid.endpoint.user, password=grid.endpoint.password)
        fake = cls(client)

        async def keep(msg: Msg) -> None:
            fake.got.append(msg.data)

        await client.subscribe(subject, cb=keep)
        await client.flush()
        await client.flush()
        return fake


async def _ignore(_message: wire.Message, _reply: str) -> None:
    return None


def test_hostile_82_a_worker_of_another_version_is_told_in_words(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        leader = await grid.connect("leader")
        await leader.serve(subjects.leaders(), _ignore)
        for worker_id in ("w1", "w1:2"):
            worker = await FakeVersion.connect(grid, subjects.worker(worker_id))
            await worker.client.publish(subjects.leader(worker_id), _of_another_version(HEARTBEAT))

            async def told(worker: FakeVersion = worker) -> bool:
                return len(worker.got) == 1

            await eventually(told)
            with pytest.raises(
                ProtocolMismatch, match=f"version {wire.PROTOCOL_VERSION}.*speaks {OTHER[0]}; run the same"
            ):
                wire.decode(worker.got[0])
            await worker.client.close()

    in_grid(test)


def test_hostile_82_a_worker_among_another_version_knows_and_says_it(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        said: list[str] = []
        worker = await grid.connect("worker", on_mismatch=said.append)
        await worker.serve(subjects.hello(), _ignore)
        await worker.serve(subjects.worker("w1"), _ignore)
        leader = await FakeVersion.connect(grid, subjects.leader("w1"))
        hello = wire.Hello(term=1, leader_id="s1", lease_s=1, heartbeat_s=1)
        await leader.client.publish(subjects.hello(), _of_another_version(hello))
        notice = wire.encode_notice("this grid speaks version 9\x1b[31m" + "!" * 10_000)
        await leader.client.publish(subjects.worker("w1"), notice)

        async def both() -> bool:
            return len(said) == 2

        await eventually(both)
        assert f"version {OTHER[0]} came in" in said[0]
        assert said[1].startswith("this grid speaks version 9[31m!")
        assert len(said[1]) <= 500
        await leader.client.close()

    in_grid(test)


def test_hostile_81_a_server_is_not_made_to_send_a_worker_away(in_grid: InGrid) -> None:
    """A question in another version may name the inbox of any worker for the words that answer it."""

    async def test(grid: Any) -> None:
        said: list[str] = []
        server, worker = await grid.connect("server"), await grid.connect("worker", on_mismatch=said.append)
        await server.serve(subjects.blobs(), _ignore)
        claims = await worker.serve(subjects.claims("w1"), _ignore)
        forger = await FakeVersion.connect(grid, "unused")
        question = _of_another_version(wire.BlobRequest(sha256="0" * 64))
        await forger.client.publish(subjects.blobs(), question, reply=subjects.claims("w1"))
        async with asyncio.timeout(60):
            while claims.dropped == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert said == []
        await forger.client.close()

    in_grid(test)


def test_hostile_82_who_asks_in_another_version_gets_words_for_an_answer(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        server = await grid.connect("server")
        await server.serve(subjects.blobs(), _ignore)
        asker = await FakeVersion.connect(grid, "unused")
        question = _of_another_version(wire.BlobRequest(sha256="0" * 64))
        answer = await asker.client.request(subjects.blobs(), question, timeout=60)
        with pytest.raises(ProtocolMismatch, match="run the same wasmgrid"):
            wire.decode(answer.data)
        await asker.client.close()

    in_grid(test)


def test_hostile_82_notices_are_not_answered_and_those_of_this_version_go_on(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        leader = await grid.connect("leader")
        subscription = await leader.serve(subjects.leaders(), _ignore)

        async def echo(message: wire.Message, _reply: str) -> wire.Message:
            return message

        await leader.serve(subjects.ask(), echo)
        fake = await FakeVersion.connect(grid, subjects.worker("w1"))
        for _ in range(20):
            await fake.client.publish(subjects.leader("w1"), wire.encode_notice("go away"))
        await fake.client.publish(subjects.leader("w1"), b"")
        await fake.client.flush()
        await fake.client.flush()
        worker = await grid.connect("worker")
        ask = wire.Ask(body=b"x")
        assert await worker.request(subjects.ask(), ask, timeout_s=60) == ask
        async with asyncio.timeout(60):
            while subscription.dropped < 21:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await leader.reachable(60)
        await fake.client.flush()
        assert fake.got == []
        await fake.client.close()

    in_grid(test)
