"""A cluster of three nats-servers: one of them gone, in any way, has no visible effect."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.nats import NatsCluster, NatsNode, nats_cluster

from wasmgrid.core import wire
from wasmgrid.core.errors import InvalidField, TimedOutWaiting, Unreachable
from wasmgrid.fabric import cluster
from wasmgrid.fabric.connection import Fabric

SUBJECT = "wasmgrid.test"
WAIT_S = 60.0


async def _echo(message: wire.Message, _reply: str) -> wire.Message:
    return message


async def _asked(fabric: Fabric, number: int) -> bool:
    """Ask once, briefly; whether the answer came."""
    question = wire.BlobPutAck(received=number)
    try:
        return await fabric.request(SUBJECT, question, timeout_s=1.0) == question
    except (Unreachable, TimedOutWaiting):
        return False


async def _all_answer(*fabrics: Fabric) -> None:
    async with asyncio.timeout(WAIT_S):
        for fabric in fabrics:
            while not await _asked(fabric, random.randrange(1 << 30)):  # noqa: ASYNC110 -- each is a real question
                await asyncio.sleep(0.01)


def _node_of(nats: NatsCluster, fabric: Fabric) -> NatsNode:
    return next(node for node in nats.nodes if node.settings.url == fabric.server)


@asynccontextmanager
async def _pair(nats: NatsCluster) -> AsyncIterator[tuple[Fabric, Fabric]]:
    """One that serves and one that asks, each at a node of its own."""
    endpoint = nats.endpoint("s1")
    serving = await Fabric.connect(endpoint, name="serving", wait_s=WAIT_S)
    asking = await Fabric.connect(endpoint, name="asking", wait_s=WAIT_S)
    while asking.server == serving.server:
        await asking.close()
        asking = await Fabric.connect(endpoint, name="asking", wait_s=WAIT_S)
    await serving.serve(SUBJECT, _echo)
    await _all_answer(asking)
    try:
        yield serving, asking
    finally:
        await asking.close()
        await serving.close()


Break = Callable[[NatsNode], None]
BREAKS: dict[str, tuple[Break, Break]] = {
    "killed": (NatsNode.kill, NatsNode.start),
    "stopped": (NatsNode.stop, NatsNode.start),
    "hung": (NatsNode.pause, NatsNode.resume),
}


@pytest.mark.parametrize("way", BREAKS)
def test_hostile_67_one_of_three_nodes_gone_has_no_visible_effect(tmp_path: Path, way: str) -> None:
    """Each node in turn: whoever was at it asks and answers at another, and nothing waits for its return."""
    break_it, mend_it = BREAKS[way]

    async def test(nats: NatsCluster) -> None:
        async with _pair(nats) as (serving, asking):
            for node in nats.nodes:
                was_here = [fabric for fabric in (serving, asking) if _node_of(nats, fabric) is node]
                await asyncio.to_thread(break_it, node)
                for fabric in was_here:
                    async with asyncio.timeout(WAIT_S):
                        while fabric.server == node.settings.url or not fabric.connected:  # noqa: ASYNC110
                            await asyncio.sleep(0.01)
                await _all_answer(asking, serving)
                await asyncio.to_thread(mend_it, node)
                await asyncio.to_thread(nats.settle)
                await _all_answer(asking, serving)

    with nats_cluster(tmp_path / "nats") as nats:
        asyncio.run(test(nats))


def test_hostile_67_a_node_killed_under_load_costs_what_was_on_its_way_and_no_more(tmp_path: Path) -> None:
    async def test(nats: NatsCluster) -> None:
        answered: list[float] = []
        stop = asyncio.Event()

        async def load(fabric: Fabric) -> None:
            while not stop.is_set():
                if await _asked(fabric, len(answered)):
                    answered.append(time.monotonic())
                else:
                    await asyncio.sleep(0.005)

        async with _pair(nats) as (serving, asking):
            askers = [asyncio.create_task(load(asking)) for _ in range(8)]
            for _ in range(3):
                before = len(answered)
                _node_of(nats, serving).kill()
                async with asyncio.timeout(WAIT_S):
                    while len(answered) < before + 500:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await asyncio.to_thread(nats.start)
            stop.set()
            await asyncio.gather(*askers)
        gap_s = max(later - earlier for earlier, later in itertools.pairwise(answered))
        print(f"longest time without an answer over three kills: {gap_s:.2f} s")

    with nats_cluster(tmp_path / "nats") as nats:
        asyncio.run(test(nats))


def test_a_first_connection_does_not_hang_with_a_hung_node(tmp_path: Path) -> None:
    async def test(nats: NatsCluster) -> None:
        endpoint = nats.endpoint("s1")
        for node in nats.nodes[:2]:
            node.pause()
        fabrics = [await Fabric.connect(endpoint, name="test", wait_s=WAIT_S) for _ in range(2)]
        assert {fabric.server for fabric in fabrics} == {nats.nodes[2].settings.url}
        for fabric in fabrics:
            await fabric.close()

    with nats_cluster(tmp_path / "nats") as nats:
        asyncio.run(test(nats))


def test_a_queue_goes_on_without_the_member_at_a_hung_node(tmp_path: Path) -> None:
    """Its node is given up by the others, so that no question goes there any more."""

    async def test(nats: NatsCluster) -> None:
        async with _pair(nats) as (serving, asking):
            hung = _node_of(nats, serving)
            elsewhere = await Fabric.connect(nats.endpoint("s1"), name="elsewhere", wait_s=WAIT_S)
            while elsewhere.server == hung.settings.url:
                await elsewhere.close()
                elsewhere = await Fabric.connect(nats.endpoint("s1"), name="elsewhere", wait_s=WAIT_S)
            queue = "wasmgrid.queue"
            for member in (serving, elsewhere):
                await member.serve(queue, _echo, queue="servers")
            hung.pause()
            in_a_row = 0
            async with asyncio.timeout(WAIT_S):
                while in_a_row < 50:
                    try:
                        await asking.request(queue, wire.BlobPutAck(received=1), timeout_s=0.5)
                        in_a_row += 1
                    except (Unreachable, TimedOutWaiting):
                        in_a_row = 0
            hung.resume()
            await elsewhere.close()

    with nats_cluster(tmp_path / "nats") as nats:
        asyncio.run(test(nats))


def test_connections_spread_over_the_nodes(tmp_path: Path) -> None:
    async def test(nats: NatsCluster) -> None:
        endpoint = nats.endpoint("s1")
        fabrics = await asyncio.gather(*(Fabric.connect(endpoint, name="test", wait_s=WAIT_S) for _ in range(30)))
        assert {fabric.server for fabric in fabrics} == {node.settings.url for node in nats.nodes}
        await asyncio.gather(*(fabric.close() for fabric in fabrics))

    with nats_cluster(tmp_path / "nats") as nats:
        asyncio.run(test(nats))


def test_a_node_without_the_secret_of_the_routes_stays_outside(tmp_path: Path) -> None:
    with nats_cluster(tmp_path / "nats", names=("n1", "n2")) as nats:
        nats.nodes[1].stop()
        config = nats.nodes[1].directory / "nats.conf"
        secret = (nats.path / "ca" / "routes.secret").read_text()
        config.write_text(config.read_text().replace(secret, "guessed"))
        nats.nodes[1].start()
        deadline = time.monotonic() + WAIT_S
        while "Authentication" not in (log := nats.nodes[0].log()) and "authentication" not in log:
            assert time.monotonic() < deadline, log
            time.sleep(0.01)
        assert nats.nodes[0].peers() == set()


def test_the_files_are_private_and_written_again_with_the_same_authority(tmp_path: Path) -> None:
    nodes = [cluster.Node(name=f"n{number}", host=f"n{number}.example") for number in range(2)]
    ca = cluster.write(tmp_path / "nats", nodes)
    secret = (tmp_path / "nats" / "ca" / "routes.secret").read_text()
    again = cluster.write(tmp_path / "nats", [*nodes, cluster.Node(name="n2", host="2001:db8::2")])
    assert again == ca
    for number in range(3):
        directory = tmp_path / "nats" / f"n{number}"
        text = (directory / "nats.conf").read_text()
        assert secret in text
        names = {path.name for path in directory.iterdir()}
        assert names == {"nats.conf", "authorization.conf", "ca.pem", "server.pem", "server.key"}
        for name in ("nats.conf", "authorization.conf", "server.key"):
            assert (directory / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("names", [["n1", "n1"], ["ca"], ["../n1"], [""]])
def test_names_that_cannot_be_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InvalidField):
        cluster.write(tmp_path, [cluster.Node(name=name, host="localhost") for name in names])
