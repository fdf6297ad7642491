"""A credential reaches its own subjects only, and nothing once it is revoked: enforced by real nats-servers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.fabric import places
from tests.fabric.places import DEADLINE_S, Place, Raw, until

from wasmgrid.core import wire
from wasmgrid.core.errors import InvalidField, TimedOutWaiting, Unreachable
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.fabric import authorization, credentials, subjects
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.connection import Fabric

InPlace = Callable[[Callable[[Place], Awaitable[None]]], None]
WAIT_S = 60.0


@pytest.fixture(params=places.NAMES)
def in_place(request: pytest.FixtureRequest, tmp_path: Path) -> InPlace:
    """Run a coroutine function with each kind of fabric."""

    def run(test: Callable[[Place], Awaitable[None]]) -> None:
        async def inside() -> None:
            async with places.place(tmp_path, request.param) as place:
                await test(place)

        asyncio.run(inside())

    return run


def _heartbeat(worker_id: str) -> wire.Heartbeat:
    return wire.Heartbeat(worker_id=worker_id, incarnation="x", term=1, assigned_seq=0)


def _refusal(message: wire.Message, subject: str) -> str:
    own = isinstance(message, wire.Heartbeat) and message.worker_id == subjects.speaker(subject)
    return "" if own else "it speaks for another"


def test_a_worker_talks_to_the_leader_and_the_leader_to_it(in_place: InPlace) -> None:
    async def test(place: Place) -> None:
        server = await Fabric.connect(await place.admit("s1", "server"), name="s1", wait_s=WAIT_S)
        worker = await Fabric.connect(await place.admit("w1", "worker"), name="w1", inbox="w1", wait_s=WAIT_S)
        heard: list[wire.Message] = []

        async def hear(message: wire.Message, _reply: str) -> None:
            heard.append(message)

        async def answer(message: wire.Message, _reply: str) -> wire.Message:
            return message

        await server.serve(subjects.leaders(), hear, accept=_refusal)
        await server.serve(subjects.blobs(), answer, queue="servers")
        await server.serve(subjects.server_blobs("s1"), answer)
        for worker_id in ("w1", "w1:2"):
            await worker.serve(subjects.worker(worker_id), answer)
        await worker.serve(subjects.hello(), hear)

        question = wire.BlobPutAck(received=1)
        for subject in (subjects.blobs(), subjects.server_blobs("s1")):
            assert await worker.request(subject, question, timeout_s=WAIT_S) == question
        for worker_id in ("w1", "w1:2"):
            assert await server.request(subjects.worker(worker_id), question, timeout_s=WAIT_S) == question
        await worker.publish(subjects.leader("w1"), _heartbeat("w1"))
        await worker.publish(subjects.leader("w1:2"), _heartbeat("w1:2"))
        hello = wire.Hello(term=1, leader_id="s1", lease_s=1, heartbeat_s=1)
        await server.publish(subjects.hello(), hello)
        await until(lambda: len(heard) == 3)
        assert {getattr(message, "worker_id", "hello") for message in heard} == {"w1", "w1:2", "hello"}
        assert await worker.reachable(WAIT_S)
        await worker.close()
        await server.close()

    in_place(test)


def test_hostile_81_nats_refuses_what_is_not_the_workers_own(in_place: InPlace) -> None:
    async def test(place: Place) -> None:
        server = await Raw.connect(await place.admit("s1", "server"))
        victim = await Raw.connect(await place.admit("w2", "worker"))
        forger = await Raw.connect(await place.admit("w1", "worker"))
        for subject in ("wasmgrid.>", "_INBOX.>"):
            assert not await server.refused_subscribe(subject)
        assert not await victim.refused_subscribe("_INBOX.w2.>")

        for subject in (
            subjects.leader("w2"),  # as another worker
            subjects.leader("w2:2"),
            subjects.worker("w2"),  # as the leader, to another worker
            subjects.worker("w1"),  # and to itself
            subjects.hello(),
            subjects.ask(),
            subjects.changes(),
            "wasmgrid.leader",
            "_INBOX.w2.guess.1",
            "_INBOX.0123456789abcdef01234567.1",
            "$SYS.REQ.SERVER.PING",
            "anything",
        ):
            assert await forger.refused_publish(subject), subject
        for subject in (
            subjects.leaders(),
            "wasmgrid.leader.>",
            subjects.leader("w1"),
            subjects.worker("w2"),
            "wasmgrid.worker.*.*",
            "wasmgrid.>",
            ">",
            "_INBOX.>",
            "_INBOX.*.*",
            "_INBOX.w2.>",
            subjects.blobs(),  # a worker that answers for the servers
            subjects.server_blobs("s1"),
            subjects.ask(),
            subjects.changes(),
            "$SYS.>",
        ):
            assert await forger.refused_subscribe(subject), subject
        await server.settle()
        assert server.got == []
        assert victim.got == []

        for subject in (subjects.leader("w1"), subjects.leader("w1:7"), subjects.blobs()):
            assert not await forger.refused_publish(subject), subject
        await until(lambda: len(server.got) == 3)
        for raw in (server, victim, forger):
            await raw.close()

    in_place(test)


def test_hostile_81_one_who_speaks_for_another_on_its_own_subject_is_not_accepted(in_place: InPlace) -> None:
    async def test(place: Place) -> None:
        server = await Fabric.connect(await place.admit("s1", "server"), name="s1", wait_s=WAIT_S)
        forger = await Fabric.connect(await place.admit("w1", "worker"), name="w1", inbox="w1", wait_s=WAIT_S)
        heard: list[wire.Message] = []

        async def hear(message: wire.Message, _reply: str) -> None:
            heard.append(message)

        subscription = await server.serve(subjects.leaders(), hear, accept=_refusal)
        async with asyncio.timeout(DEADLINE_S):
            while not heard:  # a node of a cluster hears from the others who listens there, in their own time
                await forger.publish(subjects.leader("w1"), _heartbeat("w1"))
                await asyncio.sleep(0.05)
        for claimed in ("w2", "w1:2", ""):
            await forger.publish(subjects.leader("w1"), _heartbeat(claimed))
        await until(lambda: subscription.refused == 3)
        assert all(message == _heartbeat("w1") for message in heard)
        await forger.close()
        await server.close()

    in_place(test)


def test_hostile_81_an_answer_goes_to_inboxes_alone(in_place: InPlace) -> None:
    """A question may name any subject for its answer: whoever answers would speak where the asker may not."""

    async def test(place: Place) -> None:
        server = await Fabric.connect(await place.admit("s1", "server"), name="s1", wait_s=WAIT_S)
        watcher = await Raw.connect(await place.admit("s2", "server"))
        forger = await Fabric.connect(await place.admit("w1", "worker"), name="w1", inbox="w1", wait_s=WAIT_S)

        async def answer(message: wire.Message, _reply: str) -> wire.Message:
            return message

        await server.serve(subjects.blobs(), answer, queue="servers")
        for subject in (subjects.leader("w2"), subjects.worker("w2"), subjects.ask()):
            assert not await watcher.refused_subscribe(subject)
            await forger.publish(subjects.blobs(), wire.BlobPutAck(received=1), reply=subject)
        await forger.request(subjects.blobs(), wire.BlobPutAck(received=2), timeout_s=WAIT_S)  # those before are done
        await server.reachable(WAIT_S)
        await watcher.settle()
        assert watcher.got == []
        await watcher.close()
        await forger.close()
        await server.close()

    in_place(test)


def test_hostile_81_a_message_to_oneself_opens_no_subject(in_place: InPlace) -> None:
    """With `allow_responses`, NATS would let a worker speak wherever a message to itself asked for an answer."""

    async def test(place: Place) -> None:
        server = await Raw.connect(await place.admit("s1", "server"))
        assert not await server.refused_subscribe("wasmgrid.>")
        forger = await Raw.connect(await place.admit("w1", "worker"))
        assert not await forger.refused_subscribe("_INBOX.w1.>")
        for subject in (subjects.worker("w2"), subjects.leader("w2"), subjects.ask(), "_INBOX.w2.guess.1"):
            assert not await forger.refused_publish("_INBOX.w1.here", reply=subject)
            assert await forger.refused_publish(subject), subject
        await server.settle()
        assert len(forger.got) == 4
        assert server.got == []
        await forger.close()
        await server.close()

    in_place(test)


def test_hostile_81_a_worker_answers_only_what_it_was_asked(in_place: InPlace) -> None:
    """It sees where its own answer is to go, and learns nothing about where those of others do."""

    async def test(place: Place) -> None:
        server = await Fabric.connect(await place.admit("s1", "server"), name="s1", wait_s=WAIT_S)
        worker = await Fabric.connect(await place.admit("w1", "worker"), name="w1", inbox="w1", wait_s=WAIT_S)
        other = await Fabric.connect(await place.admit("w2", "worker"), name="w2", inbox="w2", wait_s=WAIT_S)
        asked: dict[str, str] = {}

        async def answer(message: wire.Message, reply: str) -> wire.Message:
            asked[reply.split(".")[1]] = reply
            return message

        await worker.serve(subjects.worker("w1"), answer)
        await other.serve(subjects.worker("w2:2"), answer)
        question = wire.BlobPutAck(received=1)
        for worker_id in ("w1", "w2:2"):
            assert await server.request(subjects.worker(worker_id), question, timeout_s=WAIT_S) == question
        assert set(asked) == {"w1", "w2"}
        raw = await Raw.connect(await place.admit("w1", "worker"))
        assert await raw.refused_publish(asked["w2"])
        assert await raw.refused_publish(asked["w1"].replace(".w1.", "."))
        await raw.close()
        for fabric in (other, worker, server):
            await fabric.close()

    in_place(test)


def test_a_revoked_credential_is_cut_off_and_refused_and_nobody_else_notices(in_place: InPlace) -> None:
    async def test(place: Place) -> None:
        server = await Raw.connect(await place.admit("s1", "server"))
        endpoint = await place.admit("w1", "worker")
        revoked, other = await Raw.connect(endpoint), await Raw.connect(await place.admit("w2", "worker"))
        await place.revoke("w1")
        await until(lambda: revoked.client.is_closed)
        for url in endpoint.servers:
            with pytest.raises(Unreachable, match=r"(?i)authorization violation"):
                await Raw.connect(endpoint, server=url)
        assert server.client.is_connected
        assert other.client.is_connected
        assert not await other.refused_publish(subjects.leader("w2"))
        await server.close()
        await other.close()

    in_place(test)


def test_a_seed_that_was_never_admitted_and_no_credential_at_all_are_refused(in_place: InPlace) -> None:
    async def test(place: Place) -> None:
        endpoint = await place.admit("w1", "worker")
        for stranger in (credentials.make()[0], None):
            refused = type(endpoint)(url=endpoint.url, seed=stranger, ca=endpoint.ca)
            with pytest.raises(Unreachable, match=r"(?i)authorization"):
                await Raw.connect(refused)

    in_place(test)


def test_what_nats_refuses_a_request_is_a_time_out_not_a_lost_connection(in_place: InPlace) -> None:
    async def test(place: Place) -> None:
        worker = await Fabric.connect(await place.admit("w1", "worker"), name="w1", inbox="w1", wait_s=WAIT_S)
        info = WorkerInfo(id="w2", incarnation="x", version="0", capacity=Resources())
        with pytest.raises(TimedOutWaiting):
            await worker.request(subjects.leader("w2"), wire.Inventory(worker=info, term=0), timeout_s=0.1)
        assert worker.connected
        assert await worker.reachable(WAIT_S)
        await worker.close()

    in_place(test)


@pytest.mark.parametrize("name", ["*", ">", "a.b", 'a"b', "", "w1:2", "a\nb"])
def test_hostile_52_a_name_that_would_widen_a_credential_is_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        authorization.text([User(name=name, kind="worker", public_key=credentials.make()[1])])
    with pytest.raises(InvalidField):
        subjects.inbox(name)


def test_a_key_that_is_none_is_refused_before_nats_sees_it() -> None:
    for key in ("", "U" * 56, '", "x', credentials.make()[0], credentials.make()[1][:-1] + "1"):
        with pytest.raises(InvalidField):
            authorization.text([User(name="w1", kind="worker", public_key=key)])


def test_one_key_under_two_names_is_the_first_ones() -> None:
    key = credentials.make()[1]
    text = authorization.text([User(name=name, kind="worker", public_key=key) for name in ("w1", "w2")])
    assert re.findall(r"leader\.(\w+)", text) == ["w1"]
