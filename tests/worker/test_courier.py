"""Uploads go to whoever leads; a take-over in the middle of one is not the upload's problem."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.worker.rig import Blobs, Rig, in_rig

from wasmgrid.core import wire
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.limits import MB
from wasmgrid.fabric import subjects
from wasmgrid.fabric.blobserver import BlobServer
from wasmgrid.worker.courier import Courier

pytestmark = pytest.mark.timeout(120)

DATA = os.urandom(20 * MB)
SOON_S = 10.0  # less than one frame's time-out


async def serving(made: Rig, server_id: str, blobs: Blobs) -> BlobServer:
    """A server that takes blobs into the store that all share."""
    server = BlobServer(await made.connect(), blobs, server_id, max_upload_bytes=64 * MB)
    await server.start()
    return server


def test_hostile_63_an_upload_survives_the_death_of_the_leader_in_its_middle(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        blobs, leader = Blobs(), ["s1"]
        first = await serving(made, "s1", blobs)
        courier = Courier(await made.connect(), lambda: leader[0])
        uploading = asyncio.create_task(courier.upload(DATA))
        while not first._uploads:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
        await first.stop()
        second = await serving(made, "s2", blobs)
        leader[0] = "s2"
        async with asyncio.timeout(60):
            assert await uploading == (sha256_hex(DATA), len(DATA))
        assert blobs.kept == {sha256_hex(DATA): DATA}
        await second.stop()

    in_rig(tmp_path, test)


def test_hostile_61_a_fetch_does_not_wait_for_a_frozen_server(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        blobs, asked = Blobs(), 0

        async def freeze(_message: wire.Message, _reply: str) -> None:
            nonlocal asked
            asked += 1
            await asyncio.sleep(600)

        for _ in range(3):
            await (await made.connect()).serve(subjects.blobs(), freeze, queue="servers")
        leader = await serving(made, "s2", blobs)
        blobs.kept[sha256_hex(DATA)] = DATA
        courier = Courier(await made.connect(), lambda: "s2")
        async with asyncio.timeout(SOON_S):
            assert await courier.fetch(sha256_hex(DATA), tmp_path / "dest", max_bytes=64 * MB) == len(DATA)
        assert (tmp_path / "dest").read_bytes() == DATA
        assert 0 < asked <= 4
        await leader.stop()

    in_rig(tmp_path, test)


def test_hostile_61_an_upload_to_a_frozen_leader_goes_to_the_next_one(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        blobs, leader, frozen = Blobs(), ["s1"], asyncio.Event()

        async def freeze(_message: wire.Message, _reply: str) -> None:
            frozen.set()
            await asyncio.sleep(600)

        await (await made.connect()).serve(subjects.server_blobs("s1"), freeze)
        second = await serving(made, "s2", blobs)
        courier = Courier(await made.connect(), lambda: leader[0])
        uploading = asyncio.create_task(courier.upload(DATA))
        await frozen.wait()
        leader[0] = "s2"
        async with asyncio.timeout(SOON_S):
            await uploading
        assert sha256_hex(DATA) in blobs.kept
        await second.stop()

    in_rig(tmp_path, test)
