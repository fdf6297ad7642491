"""Two servers in this process, on a real NATS: hints that are lost, and a leader whose connection is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace as changed
from tests.worker.cut import Cut

from wasmgrid.control import Control
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.home import FabricEndpoint, Home
from wasmgrid.server.submission import open_job
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob

DEADLINE_S = 90.0
NEW = NewJob(spec=StoredSpec(module_sha256="0" * 64), state=JobState.QUEUED, module_sha256="0" * 64)


@dataclass
class One:
    """One server, without an API."""

    store: Store
    control: Control

    @property
    def leads(self) -> bool:
        return self.control.leading is not None

    async def submit(self) -> int:
        """A job that waits for a worker, as the API would take it."""
        submitted = await self.store.submit(NEW)
        await self.control.submitted(open_job(NEW, submitted))
        return submitted.id

    async def cancel(self, job_id: int) -> None:
        """As the API would."""
        await self.store.request_cancel("default", job_id)
        await self.control.cancel_requested(job_id)


@asynccontextmanager
async def _two(path: Path) -> AsyncIterator[tuple[One, One, Cut]]:
    """(the leader, reached through a cable that can be cut; the other; the cable)."""
    async with AsyncExitStack() as stack:
        home = Home(path).create()
        nats = EmbeddedNats(home)
        stack.push_async_callback(nats.stop)
        direct = await nats.start()
        cable = Cut(urlsplit(direct.url).port or 0)
        listener = await asyncio.start_server(cable.accept, "127.0.0.1", 0)
        stack.push_async_callback(cable.end)
        stack.callback(listener.close)
        through = FabricEndpoint(
            url=f"nats://127.0.0.1:{listener.sockets[0].getsockname()[1]}", user=direct.user, password=direct.password
        )
        servers = [await _server(stack, path, name, at) for name, at in (("one", through), ("two", direct))]
        yield servers[0], servers[1], cable
        cable.open()


async def _server(stack: AsyncExitStack, path: Path, name: str, endpoint: FabricEndpoint) -> One:
    store = await Store.open(path)
    stack.push_async_callback(store.close)
    fabric = await Fabric.connect(endpoint, name=name, wait_s=DEADLINE_S)
    stack.push_async_callback(fabric.close)
    control = Control(store=store, fabric=fabric, server_id=name, alone=False)
    stack.push_async_callback(control.stop)
    await control.start()
    assert (await control.leader(patience_s=DEADLINE_S)).server_id == "one"
    return One(store, control)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_follower_passes_on_and_hears_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with _two(tmp_path) as (leader, follower, _):
            job_id = await follower.submit()
            await _until(lambda: leader.control.leading is not None and leader.control.leading.has(job_id))
            live = await follower.control.live(job_id)
            assert live == await leader.control.live(job_id)
            assert live is not None
            assert live.state is JobState.QUEUED
            assert await follower.control.why(job_id) == await leader.control.why(job_id)
            spec = changed(NEW.spec, gpus=1, args=["x" * 1000] * 2000)
            warnings = await follower.control.submission_warnings(spec)
            assert warnings
            assert warnings == await leader.control.submission_warnings(spec), "what is too large for a message stays"
            waiting = asyncio.create_task(follower.control.wait_finished(job_id, DEADLINE_S))
            await follower.cancel(job_id)
            await waiting
            assert (await follower.store.job("default", job_id)).state is JobState.CANCELLED
            assert await follower.control.live(job_id) is None
            await asyncio.wait_for(follower.control.wait_finished(job_id, DEADLINE_S), DEADLINE_S / 2)

    asyncio.run(story())


def test_who_waits_needs_no_hint(tmp_path: Path) -> None:
    async def story() -> None:
        async with _two(tmp_path) as (leader, follower, _):
            job_id = await leader.submit()
            await follower.control._following.stop()  # what the leader says is lost from here on
            waiting = asyncio.create_task(follower.control.wait_finished(job_id, DEADLINE_S))
            await asyncio.sleep(0.1)
            await leader.cancel(job_id)
            await asyncio.wait_for(waiting, DEADLINE_S / 2)
            assert (await follower.store.job("default", job_id)).state is JobState.CANCELLED

    asyncio.run(story())


def test_a_leader_without_the_fabric_lets_another_lead_and_follows(tmp_path: Path) -> None:
    async def story() -> None:
        async with _two(tmp_path) as (leader, follower, cable):
            job_id = await leader.submit()
            cable.close()
            await _until(lambda: follower.leads)
            assert not leader.leads
            assert (await follower.control.live(job_id)) is not None
            waiting = asyncio.create_task(leader.control.wait_finished(job_id, DEADLINE_S))
            await follower.cancel(job_id)
            await asyncio.wait_for(waiting, DEADLINE_S / 2)
            cable.open()
            assert (await leader.control.leader(patience_s=DEADLINE_S)).server_id == "two"
            await asyncio.sleep(0)
            assert follower.leads

    asyncio.run(story())
