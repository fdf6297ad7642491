"""Bytes as they are: from a row, or streamed from a blob with its length said first."""

from __future__ import annotations

from collections.abc import AsyncIterator

from wasmgrid.core.errors import NotFound
from wasmgrid.core.job import Output
from wasmgrid.server.headers import attachment
from wasmgrid.server.sending import Pieces
from wasmgrid.store import Store

PIECE_BYTES = 256 * 1024
BINARY = "application/octet-stream"


async def of_blob(store: Store, sha256: str, *, name: str, media_type: str = BINARY) -> Pieces:
    """A whole blob, to be saved as `name`; raises `NotFound` where it was pruned."""
    size = await store.blobs.size(sha256)
    if size is None:
        raise NotFound(f"{name} is no longer kept", hint="results go by age: see wasmgrid prune")
    return _stream(_pieces(store, sha256, size), size, name, media_type)


def of_bytes(data: bytes, *, name: str, media_type: str = BINARY) -> Pieces:
    """Bytes at hand."""
    return _stream(_once(data), len(data), name, media_type)


async def of_output(store: Store, output: Output, *, name: str) -> Pieces:
    """All that was kept of a stream."""
    if output.sha256 is not None:
        return await of_blob(store, output.sha256, name=name)
    return of_bytes(output.data, name=name)


def _stream(pieces: AsyncIterator[bytes], size: int, name: str, media_type: str) -> Pieces:
    headers = {"Content-Length": str(size), "Content-Disposition": attachment(name)}
    return Pieces(pieces, media_type=media_type, headers=headers)


async def _pieces(store: Store, sha256: str, size: int) -> AsyncIterator[bytes]:
    offset = 0
    while offset < size:
        piece = await store.blobs.read(sha256, offset, PIECE_BYTES)
        if not piece:
            return
        offset += len(piece)
        yield piece


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
