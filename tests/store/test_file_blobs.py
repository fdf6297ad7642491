"""Blobs as files: nothing that lies in the place of one is believed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.conformance.samples import FileAdapter, blob_file

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidField
from wasmgrid.store import Store


def test_hostile_16_a_symlink_in_the_place_of_a_blob(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"secret")
    secret = sha256_hex(b"secret")

    async def plant(store: Store) -> None:
        path = blob_file(store, secret)

        def link() -> None:
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(outside)

        link()
        assert await store.blobs.size(secret) is None  # not followed, although the bytes would match
        link()
        await store.blobs.put(b"secret")
        assert not await asyncio.to_thread(path.is_symlink)

    FileAdapter(tmp_path).run(plant)
    assert outside.read_bytes() == b"secret"


def test_hostile_51_only_a_digest_makes_a_path_of_a_file(tmp_path: Path) -> None:
    async def ask(store: Store) -> None:
        with pytest.raises(InvalidField):
            blob_file(store, "../../etc/passwd")

    FileAdapter(tmp_path).run(ask)
