"""Where credentials are enforced: the embedded nats-server, the same with TLS for other machines, and a cluster."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.nats import NatsCluster, nats_cluster

from wasmgrid.fabric import credentials
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.credentials import Kind
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.fabric.link import open_link
from wasmgrid.home import FabricEndpoint, Home

NAMES = ["embedded", "embedded with TLS", "cluster"]
DEADLINE_S = 60.0


class Place(Protocol):
    """A running fabric that takes credentials."""

    async def admit(self, name: str, kind: Kind) -> FabricEndpoint: ...

    async def revoke(self, name: str) -> None: ...


class Embedded:
    """One nats-server, with or without TLS."""

    def __init__(self, nats: EmbeddedNats, endpoint: FabricEndpoint) -> None:
        self.nats = nats
        self.endpoint = endpoint
        self._users: dict[str, User] = {}

    async def admit(self, name: str, kind: Kind) -> FabricEndpoint:
        seed, public_key = credentials.make()
        self._users[name] = User(name=name, kind=kind, public_key=public_key)
        await self.nats.reload(self._users.values())
        return dataclasses.replace(self.endpoint, user=None, password=None, seed=seed)

    async def revoke(self, name: str) -> None:
        del self._users[name]
        await self.nats.reload(self._users.values())


class Clustered:
    """Three of them."""

    def __init__(self, cluster: NatsCluster) -> None:
        self.cluster = cluster

    async def admit(self, name: str, kind: Kind) -> FabricEndpoint:
        return await asyncio.to_thread(self.cluster.endpoint, name, kind)

    async def revoke(self, name: str) -> None:
        await asyncio.to_thread(self.cluster.revoke, name)


@asynccontextmanager
async def place(path: Path, name: str) -> AsyncIterator[Place]:
    """A fresh one of `NAMES`."""
    if name == "cluster":
        with nats_cluster(path / "nats") as cluster:
            yield Clustered(cluster)
        return
    home = Home(path / "home").create()
    nats = EmbeddedNats(home, listen="127.0.0.1:0" if "TLS" in name else None)
    try:
        yield Embedded(nats, await nats.start())
    finally:
        await nats.stop()


class Raw:
    """A client that is bound by nothing but its credential, and keeps what NATS refuses and what it gets."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.got: list[tuple[str, bytes]] = []

    @classmethod
    async def connect(cls, endpoint: FabricEndpoint, *, server: str | None = None) -> Raw:
        server = server or endpoint.servers[0]
        client = await open_link(endpoint, server, name="raw", lost=asyncio.Event(), patience_s=DEADLINE_S)
        return cls(client)

    async def refused_publish(self, subject: str, reply: str = "") -> bool:
        """Whether NATS refuses a message to that subject."""
        return await self._refused(self.client.publish(subject, b"forged", reply))

    async def refused_subscribe(self, subject: str) -> bool:
        """Whether NATS refuses to give what comes to that subject."""

        async def keep(msg: Msg) -> None:
            self.got.append((msg.subject, msg.data))

        return await self._refused(self.client.subscribe(subject, cb=keep))

    async def settle(self) -> None:
        """What was sent is at the server. nats-py sends its ping ahead of what waits to be sent: hence twice."""
        await self.client.flush(int(DEADLINE_S))
        await self.client.flush(int(DEADLINE_S))

    async def close(self) -> None:
        await self.client.close()

    async def _refused(self, attempt: Awaitable[object]) -> bool:
        self.client._err = None
        await attempt
        await self.settle()
        return "permissions violation" in str(self.client._err).lower()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, under a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 -- the conditions have no event
            await asyncio.sleep(0.01)
