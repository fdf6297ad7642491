"""Messages over a real nats-server: asking, serving, refusing garbage, and coming back after a loss."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client

from wasmgrid.core import wire
from wasmgrid.core.errors import InvalidField, ProtocolMismatch, TimedOutWaiting, TooLarge, Unreachable
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.home import FabricEndpoint

InGrid = Callable[[Callable[[Any], Awaitable[None]]], None]
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

SUBJECT = "wasmgrid.test"
QUESTION = wire.BlobPutAck(received=1)


async def _echo(message: wire.Message, _reply: str) -> wire.Message:
    assert isinstance(message, wire.BlobPutAck)
    return wire.BlobPutAck(received=message.received + 1)


async def _settle(raw: Client) -> None:
    """What was published is at the server. nats-py sends its ping ahead of what waits to be sent: hence twice."""
    await raw.flush()
    await raw.flush()


async def _raw(endpoint: FabricEndpoint) -> Client:
    client = Client()
    await client.connect(endpoint.url, user=endpoint.user, password=endpoint.password)
    return client


def test_request_and_answer(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        server, client = await grid.connect(), await grid.connect()
        await server.serve(SUBJECT, _echo)
        answers = await asyncio.gather(
            *(client.request(SUBJECT, wire.BlobPutAck(received=number), timeout_s=30) for number in range(200))
        )
        assert [answer.received for answer in answers] == list(range(1, 201))
        assert await client.reachable(30)

    in_grid(test)


def test_nobody_there_is_known_at_once_and_silence_after_its_time(in_grid: InGrid) -> None:
    async def silent(_message: wire.Message, _reply: str) -> None:
        return None

    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        with pytest.raises(Unreachable, match="nobody serves"):
            await fabric.request(SUBJECT, QUESTION, timeout_s=600)
        await fabric.serve(SUBJECT, silent)
        with pytest.raises(TimedOutWaiting):
            await fabric.request(SUBJECT, QUESTION, timeout_s=0.05)

    in_grid(test)


def test_publish_reaches_every_server_and_a_queue_shares(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        first, second, sender = [await grid.connect(name) for name in ("first", "second", "sender")]
        everyone: list[int] = []
        shared: list[int] = []

        async def to_everyone(message: wire.Message, _reply: str) -> None:
            assert isinstance(message, wire.BlobPutAck)
            everyone.append(message.received)

        async def to_one(message: wire.Message, _reply: str) -> None:
            assert isinstance(message, wire.BlobPutAck)
            shared.append(message.received)

        for fabric in (first, second):
            await fabric.serve(SUBJECT, to_everyone)
            await fabric.serve(SUBJECT, to_one, queue="workers")
        for number in range(50):
            await sender.publish(SUBJECT, wire.BlobPutAck(received=number))

        async def all_there() -> bool:
            return len(everyone) == 100 and len(shared) == 50

        await eventually(all_there)
        assert sorted(shared) == list(range(50))

    in_grid(test)


def test_handlers_start_in_order_and_none_waits_for_another(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        order: list[int] = []
        release = asyncio.Event()

        async def handler(message: wire.Message, _reply: str) -> wire.Message:
            assert isinstance(message, wire.BlobPutAck)
            order.append(message.received)
            if message.received == 0:
                await release.wait()
            return message

        await fabric.serve(SUBJECT, handler)
        slow = asyncio.create_task(fabric.request(SUBJECT, wire.BlobPutAck(received=0), timeout_s=60))
        await asyncio.sleep(0)  # it has sent its question
        for number in range(1, 20):
            await fabric.request(SUBJECT, wire.BlobPutAck(received=number), timeout_s=60)
        assert order == list(range(20))
        release.set()
        assert await slow == wire.BlobPutAck(received=0)

    in_grid(test)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00",
        bytes([wire.PROTOCOL_VERSION + 1]) + wire.encode(QUESTION)[1:],
        bytes([wire.PROTOCOL_VERSION]) + b"\xff\xff",
        b"\x00" + os.urandom(4096),
        bytes([wire.PROTOCOL_VERSION]) + b"\x81\xa4type",
    ],
    ids=["empty", "no version", "another version", "no message", "noise", "cut off"],
)
def test_garbage_and_other_versions_are_dropped_and_end_nothing(in_grid: InGrid, garbage: bytes) -> None:
    async def test(grid: Any) -> None:
        fabric, raw = await grid.connect(), await _raw(grid.endpoint)
        subscription = await fabric.serve(SUBJECT, _echo)
        for _ in range(100):
            await raw.publish(SUBJECT, garbage)
        await _settle(raw)
        answer = await fabric.request(SUBJECT, QUESTION, timeout_s=60)
        assert answer == wire.BlobPutAck(received=2)
        assert subscription.dropped == 100
        await raw.close()

    in_grid(test)


def test_an_answer_that_is_none_is_an_error_of_the_request_alone(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        fabric, raw = await grid.connect(), await _raw(grid.endpoint)

        async def nonsense(msg: Any) -> None:
            await raw.publish(msg.reply, b"nonsense")

        await raw.subscribe(SUBJECT, cb=nonsense)
        await _settle(raw)
        with pytest.raises(ProtocolMismatch):
            await fabric.request(SUBJECT, QUESTION, timeout_s=60)
        await fabric.serve("wasmgrid.other", _echo)
        await fabric.request("wasmgrid.other", QUESTION, timeout_s=60)
        await raw.close()

    in_grid(test)


def test_a_handler_that_fails_answers_nothing_and_goes_on(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        fabric = await grid.connect()

        async def handler(message: wire.Message, _reply: str) -> wire.Message:
            if message == QUESTION:
                raise ZeroDivisionError
            return message

        await fabric.serve(SUBJECT, handler)
        with pytest.raises(TimedOutWaiting):
            await fabric.request(SUBJECT, QUESTION, timeout_s=0.05)
        other = wire.BlobPutAck(received=5)
        assert await fabric.request(SUBJECT, other, timeout_s=60) == other

    in_grid(test)


def test_a_message_over_the_payload_limit_is_refused_and_the_connection_lives(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        await fabric.serve(SUBJECT, _echo)
        with pytest.raises(TooLarge):
            await fabric.publish(SUBJECT, wire.BlobFrame(data=bytes(2 << 20), size=1))
        await fabric.request(SUBJECT, QUESTION, timeout_s=60)

    in_grid(test)


def test_a_flood_is_delivered_whole(in_grid: InGrid, eventually: Eventually) -> None:
    async def test(grid: Any) -> None:
        sender, receiver = await grid.connect(), await grid.connect()
        seen = 0

        async def handler(_message: wire.Message, _reply: str) -> None:
            nonlocal seen
            seen += 1

        subscription = await receiver.serve(SUBJECT, handler)
        frame = wire.BlobFrame(data=bytes(256 << 10), size=1)
        for _ in range(200):
            await sender.publish(SUBJECT, frame)
        for _ in range(5000):
            await sender.publish(SUBJECT, QUESTION)

        async def all_there() -> bool:
            return seen == 5200

        await eventually(all_there)
        assert subscription.dropped == 0

    in_grid(test)


def test_a_stopped_subscription_serves_no_more(in_grid: InGrid) -> None:
    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        subscription = await fabric.serve(SUBJECT, _echo)
        await subscription.stop()
        with pytest.raises(Unreachable, match="nobody"):
            await fabric.request(SUBJECT, QUESTION, timeout_s=60)

    in_grid(test)


def test_no_fabric_is_said_with_its_reason() -> None:
    async def test() -> None:
        with pytest.raises(Unreachable, match="no connection within"):
            await Fabric.connect(FabricEndpoint(url="nats://127.0.0.1:1"), name="test", wait_s=0.2)

    asyncio.run(test())


@pytest.mark.parametrize("hostile", ["*", ">", "a.b", "a b", "", "../x", "a\r\nPUB"])
def test_hostile_52_ids_that_would_widen_a_subject(hostile: str) -> None:
    for make in (subjects.worker, subjects.server_blobs):
        with pytest.raises(InvalidField):
            make(hostile)
