"""The blobs port: bytes come back under their digest, whole or not at all, and nothing but a digest makes a path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.conftest import Make
from tests.conformance.samples import Adapter, remove

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import DigestMismatch, InvalidField, NotFound, TooLarge, Unavailable
from wasmgrid.store import Store

ABSENT = "f" * 64
NO_DIGESTS = ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 62 + "/x", "\0" * 64, "é" * 64]


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 20_000])
def test_what_is_put_is_read_after_a_restart_too(adapter: Adapter, data: bytes) -> None:
    sha256 = sha256_hex(data)

    async def put(store: Store) -> None:
        assert await store.blobs.size(sha256) is None
        assert await store.blobs.put(data, expected=sha256, max_bytes=len(data)) == (sha256, len(data))
        assert await store.blobs.put(stream(data[:7], b"", data[7:]), expected=sha256) == (sha256, len(data))
        assert await store.blobs.read(sha256) == data

    async def look_again(store: Store) -> None:
        assert await store.blobs.size(sha256) == len(data)
        assert await store.blobs.read(sha256) == data
        assert await store.blobs.read(sha256, 3, 5) == data[3:8]
        assert await store.blobs.read(sha256, max(len(data) - 2, 0), 100) == data[-2:]
        assert await store.blobs.read(sha256, len(data) + 5, 100) == b""
        async with store.blobs.as_file(sha256) as path:
            assert await asyncio.to_thread(path.read_bytes) == data

    adapter.run(put)
    adapter.run(look_again)
    assert adapter.on_their_way() == []


@settings(max_examples=15, deadline=None)  # each opens a store
@given(data=st.binary(max_size=200), offset=st.integers(0, 250), length=st.integers(0, 250))
def test_a_part_is_what_a_slice_is(
    new_adapter: Make, tmp_path_factory: pytest.TempPathFactory, data: bytes, offset: int, length: int
) -> None:
    async def read(store: Store) -> None:
        sha256, _ = await store.blobs.put(data)
        assert await store.blobs.read(sha256, offset, length) == data[offset : offset + length]

    with new_adapter(tmp_path_factory.mktemp("store")) as adapter:
        adapter.run(read)


def test_what_is_not_there_is_said_so(adapter: Adapter) -> None:
    async def ask(store: Store) -> None:
        assert await store.blobs.size(ABSENT) is None
        assert await store._writer.run(lambda connection: store.blobs.sizes_now(connection, [ABSENT])) == 0
        with pytest.raises(NotFound):
            await store.blobs.read(ABSENT)

    adapter.run(ask)


@pytest.mark.parametrize("name", NO_DIGESTS)
def test_hostile_51_only_a_digest_makes_a_path(adapter: Adapter, name: str) -> None:
    async def ask(store: Store) -> None:
        for refused in (store.blobs.read(name), store.blobs.size(name), store.blobs.put(b"", expected=name)):
            with pytest.raises(InvalidField):
                await refused
        with pytest.raises(InvalidField):
            async with store.blobs.as_file(name):
                pass

    adapter.run(ask)


def test_bytes_that_are_not_what_was_said_are_not_kept(adapter: Adapter) -> None:
    claimed = sha256_hex(b"good")

    async def put(store: Store) -> None:
        for evil in (b"evil", stream(b"ev", b"il")):
            with pytest.raises(DigestMismatch):
                await store.blobs.put(evil, expected=claimed)
        assert await store.blobs.size(claimed) is None
        assert await store.blobs.size(sha256_hex(b"evil")) is None
        # Knowing a digest of what is there gives nothing either: the bytes must come.
        await store.blobs.put(b"good")
        with pytest.raises(DigestMismatch):
            await store.blobs.put(b"evil", expected=claimed)

    adapter.run(put)
    assert adapter.on_their_way() == []


def test_too_much_ends_the_stream_early(adapter: Adapter) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 100_000

    async def put(store: Store) -> None:
        for data in (endless(), b"x" * 1_000_001):
            with pytest.raises(TooLarge):
                await store.blobs.put(data, max_bytes=1_000_000)

    adapter.run(put)
    assert sent < 100
    assert adapter.on_their_way() == []


def test_a_stream_that_breaks_leaves_nothing(adapter: Adapter) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (3 << 20)
        raise ConnectionResetError

    async def hanging() -> AsyncIterator[bytes]:
        yield b"x" * (3 << 20)
        await asyncio.sleep(3600)

    async def put(store: Store) -> None:
        with pytest.raises(ConnectionResetError):
            await store.blobs.put(broken())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.blobs.put(hanging()), 0.2)

    adapter.run(put)
    assert adapter.on_their_way() == []


def test_many_of_the_same_at_once_are_one(adapter: Adapter) -> None:
    data = b"same" * 1000

    async def put(store: Store) -> None:
        answers = await asyncio.gather(*(store.blobs.put(data if index % 2 else stream(data)) for index in range(40)))
        assert set(answers) == {(sha256_hex(data), len(data))}
        assert await store.blobs.read(sha256_hex(data)) == data

    adapter.run(put)


def test_what_was_put_once_is_there_while_others_put_it_again(adapter: Adapter) -> None:
    async def put(store: Store) -> None:
        data = b"submitted by many at once" * 1000
        sha256, size = await store.blobs.put(data)
        again = [asyncio.create_task(store.blobs.put(stream(data))) for _ in range(60)]
        while not all(task.done() for task in again):
            assert await store.blobs.size(sha256) == size
            assert await store.blobs.read(sha256, 0, 9) == data[:9]
        await asyncio.gather(*again)

    adapter.run(put)


@pytest.mark.parametrize("damage", [b"", b"goo", b"evil", b"good and more"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_damaged_blob_is_dropped_and_can_be_put_again(adapter: Adapter, damage: bytes, restart: bool) -> None:
    good = sha256_hex(b"good")

    async def put(store: Store) -> None:
        await store.blobs.put(b"good")
        await adapter.damage(store, good, damage)

    async def heal(store: Store) -> None:
        if not restart:
            await put(store)
        with pytest.raises(NotFound):
            await store.blobs.read(good, 0, 2)
        assert await store.blobs.size(good) is None
        await store.blobs.put(b"good")
        assert await store.blobs.read(good) == b"good"

    if restart:
        adapter.run(put)
    adapter.run(heal)


def test_what_was_on_its_way_in_does_not_survive_a_start(adapter: Adapter) -> None:
    async def nothing(store: Store) -> None:
        pass

    adapter.run(nothing)
    (adapter.home / "store" / ("incoming" if adapter.url else "blobs/tmp") / "half").write_bytes(b"x")
    adapter.run(nothing)
    assert adapter.on_their_way() == []


def test_whoever_is_told_of_a_blob_may_count_on_it(adapter: Adapter) -> None:
    async def renew(store: Store) -> None:
        asked, put, forgotten = [(await store.blobs.put(data))[0] for data in (b"asked", b"put", b"forgotten")]
        for sha256 in (asked, put, forgotten):
            await adapter.age(store, sha256, 7200)
        await store.blobs.size(asked)
        await store.blobs.put(b"put")
        assert await remove(store, asked, 3600) is None
        assert await remove(store, put, 3600) is None
        assert await remove(store, forgotten, 3600) == len(b"forgotten")
        assert await remove(store, forgotten, 3600) is None
        assert await store.blobs.size(forgotten) is None

    adapter.run(renew)


def test_a_closed_store_refuses(adapter: Adapter) -> None:
    kept: list[Store] = []

    async def keep(store: Store) -> None:
        kept.append(store)

    adapter.run(keep)

    async def use() -> None:
        for refused in (kept[0].blobs.put(b""), kept[0].latest_id("default"), kept[0].lead("s1")):
            with pytest.raises(Unavailable):
                await refused

    asyncio.run(use())
