"""Blobs as files: what happens to a name while its file is open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from wasmgrid.store.file_blobs import FileBlobs


def test_a_blob_that_is_put_again_while_it_is_looked_at_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    renew = FileBlobs._renew
    replaced: list[str] = []

    def put_again_first(self: FileBlobs, sha256: str, descriptor: int) -> int | None:
        if not replaced:
            replaced.append(sha256)
            copy = tmp_path / "copy"
            copy.write_bytes(b"the same")
            copy.replace(self.path(sha256))
        return renew(self, sha256, descriptor)

    async def look() -> None:
        await asyncio.to_thread(blobs.open)
        sha256, size = await blobs.put(b"the same")
        monkeypatch.setattr(FileBlobs, "_renew", put_again_first)
        assert await blobs.size(sha256) == size
        assert replaced == [sha256]
        await blobs.close()

    asyncio.run(look())
