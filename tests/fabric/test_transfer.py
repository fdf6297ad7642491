"""Blobs over a real nats-server: every size, and every way in which one may be refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from wasmgrid.core import wire
from wasmgrid.core.errors import DigestMismatch, InvalidField, NotFound, ProtocolMismatch, TooLarge, Unreachable
from wasmgrid.core.wire import FRAME_BYTES
from wasmgrid.fabric import blobserver, subjects, transfer
from wasmgrid.fabric.blobserver import BlobServer
from wasmgrid.fabric.connection import Fabric

InGrid = Callable[[Callable[[Any], Awaitable[None]]], None]
SIZES = [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 30_000_000]
LIMIT = 64 << 20


async def _serving(grid: Any, blobs: Any, *, max_upload_bytes: int = LIMIT) -> tuple[Fabric, BlobServer]:
    server = BlobServer(await grid.connect("server"), blobs, "s1", max_upload_bytes=max_upload_bytes)
    await server.start()
    return await grid.connect("client"), server


@pytest.mark.parametrize("size", SIZES)
def test_fetch(in_grid: InGrid, blobs: Any, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    sha256 = blobs.add(data)

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        dest = tmp_path / "dest"
        assert await transfer.fetch(client, sha256, dest, max_bytes=max(size, 1)) == size
        assert dest.read_bytes() == data
        await server.stop()

    in_grid(test)


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_upload(in_grid: InGrid, blobs: Any, tmp_path: Path, size: int, from_file: bool) -> None:
    data = os.urandom(size)
    sha256 = hashlib.sha256(data).hexdigest()
    source = tmp_path / "source"
    source.write_bytes(data)

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        await transfer.upload(client, "s1", sha256, source if from_file else data)
        assert (blobs.directory / sha256).read_bytes() == data
        await server.stop()

    in_grid(test)


def test_many_transfers_at_once(in_grid: InGrid, blobs: Any, tmp_path: Path) -> None:
    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        contents = [random.Random(number).randbytes(700_000 + number) for number in range(20)]
        digests = [hashlib.sha256(data).hexdigest() for data in contents]
        await asyncio.gather(
            *(transfer.upload(client, "s1", sha, data) for sha, data in zip(digests, contents, strict=True))
        )
        await asyncio.gather(
            *(transfer.fetch(client, sha, tmp_path / sha, max_bytes=LIMIT) for sha in digests),
        )
        assert [(tmp_path / sha).read_bytes() for sha in digests] == contents
        await server.stop()

    in_grid(test)


def test_bytes_that_are_not_the_blob_are_refused(in_grid: InGrid, blobs: Any, tmp_path: Path) -> None:
    data = os.urandom(FRAME_BYTES + 10)
    sha256 = hashlib.sha256(b"something else").hexdigest()
    (blobs.directory / sha256).write_bytes(data)

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        with pytest.raises(DigestMismatch):
            await transfer.fetch(client, sha256, tmp_path / "dest", max_bytes=LIMIT)
        with pytest.raises(DigestMismatch):
            await transfer.upload(client, "s1", "0" * 64, data)
        left = {path.name for path in tmp_path.iterdir()}  # noqa: ASYNC240
        assert left == {"blobs", "home"}
        await server.stop()

    in_grid(test)


def test_over_the_limit_is_refused(in_grid: InGrid, blobs: Any, tmp_path: Path) -> None:
    data = os.urandom(FRAME_BYTES + 10)
    sha256 = blobs.add(data)

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs, max_upload_bytes=FRAME_BYTES)
        with pytest.raises(TooLarge):
            await transfer.fetch(client, sha256, tmp_path / "dest", max_bytes=len(data) - 1)
        with pytest.raises(TooLarge):
            await transfer.upload(client, "s1", sha256, data)
        await server.stop()

    in_grid(test)


@pytest.mark.parametrize("sha256", ["0" * 64, "../../token", "", "A" * 64])
def test_a_blob_that_is_not_there(in_grid: InGrid, blobs: Any, tmp_path: Path, sha256: str) -> None:
    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        with pytest.raises(NotFound):
            await transfer.fetch(client, sha256, tmp_path / "dest", max_bytes=LIMIT)
        answer = await client.request(subjects.blobs(), wire.BlobRequest(sha256=sha256, offset=-1), timeout_s=60)
        assert answer == wire.BlobFrame(data=b"", size=-1)
        await server.stop()

    in_grid(test)


def test_an_upload_under_a_name_that_is_no_digest_is_refused(in_grid: InGrid, blobs: Any) -> None:
    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        with pytest.raises(InvalidField):
            await transfer.upload(client, "s1", "../../token", b"x")
        await server.stop()

    in_grid(test)


def test_no_server(in_grid: InGrid, tmp_path: Path) -> None:
    async def test(grid: Any) -> None:
        client = await grid.connect()
        with pytest.raises(Unreachable):
            await transfer.fetch(client, "0" * 64, tmp_path / "dest", max_bytes=LIMIT)
        with pytest.raises(Unreachable):
            await transfer.upload(client, "s1", "0" * 64, b"x")

    in_grid(test)


def test_a_server_that_sends_short_frames_is_not_believed(in_grid: InGrid, tmp_path: Path) -> None:
    async def short(_message: wire.Message, _reply: str) -> wire.Message:
        return wire.BlobFrame(data=b"short", size=1000)

    async def test(grid: Any) -> None:
        fabric = await grid.connect()
        await fabric.serve(subjects.blobs(), short)
        with pytest.raises(ProtocolMismatch):
            await transfer.fetch(fabric, "0" * 64, tmp_path / "dest", max_bytes=LIMIT)

    in_grid(test)


def test_frames_twice_and_out_of_order_make_the_same_blob(in_grid: InGrid, blobs: Any) -> None:
    pieces = [os.urandom(1000) for _ in range(8)]
    sha256 = hashlib.sha256(b"".join(pieces)).hexdigest()
    puts = [
        wire.BlobPut(upload="u", sha256=sha256, offset=1000 * index, data=piece, last=index == 7)
        for index, piece in enumerate(pieces)
    ]

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        subject = subjects.server_blobs("s1")
        order = [puts[0], *random.Random(1).sample(puts * 3, k=len(puts) * 3)]
        answers = await asyncio.gather(*(client.request(subject, put, timeout_s=60) for put in order))
        assert [answer for answer in answers if not isinstance(answer, wire.BlobPutAck) or answer.error] == []
        assert (blobs.directory / sha256).read_bytes() == b"".join(pieces)
        assert await client.request(subject, puts[-1], timeout_s=60) == wire.BlobPutAck(received=8000)
        await server.stop()

    in_grid(test)


def test_a_restarted_server_gets_the_upload_from_the_beginning(in_grid: InGrid, blobs: Any) -> None:
    data = os.urandom(40 * FRAME_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        again = BlobServer(await grid.connect("again"), blobs, "s1", max_upload_bytes=LIMIT)
        sending = asyncio.create_task(transfer.upload(client, "s1", sha256, data))
        while not server._uploads:  # noqa: ASYNC110 -- the moment when it knows of the upload
            await asyncio.sleep(0)
        await server.stop()
        await again.start()
        await sending
        assert (blobs.directory / sha256).read_bytes() == data
        await again.stop()

    in_grid(test)


def test_a_stalled_upload_is_dropped(in_grid: InGrid, blobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobserver, "_STALL_S", 0.05)

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        put = wire.BlobPut(upload="u", sha256="0" * 64, offset=0, data=b"x", last=False)
        await client.request(subjects.server_blobs("s1"), put, timeout_s=60)
        async with asyncio.timeout(60):
            while server._uploads:  # noqa: ASYNC110 -- there is no event for it
                await asyncio.sleep(0.01)
        await server.stop()

    in_grid(test)


def test_uploads_that_have_ended_keep_no_other_out(
    in_grid: InGrid, blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobserver, "_MAX_UPLOADS", 4)
    contents = [f"artifact {number}".encode() for number in range(20)]

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        for data in contents:
            await transfer.upload(client, "s1", hashlib.sha256(data).hexdigest(), data)
        assert len(server._uploads) <= 4
        assert all((blobs.directory / hashlib.sha256(data).hexdigest()).exists() for data in contents)
        await server.stop()

    in_grid(test)


def test_uploads_that_go_on_are_only_so_many(in_grid: InGrid, blobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobserver, "_MAX_UPLOADS", 4)

    async def test(grid: Any) -> None:
        client, server = await _serving(grid, blobs)
        subject = subjects.server_blobs("s1")
        for name in "abcd":
            put = wire.BlobPut(upload=name, sha256="0" * 64, offset=0, data=b"x", last=False)
            assert await client.request(subject, put, timeout_s=60) == wire.BlobPutAck(received=1)
        put = wire.BlobPut(upload="e", sha256="0" * 64, offset=0, data=b"x", last=True)
        refused = await client.request(subject, put, timeout_s=60)
        assert isinstance(refused, wire.BlobPutAck)
        assert "too many uploads" in refused.error
        await server.stop()

    in_grid(test)
