"""Pieces of what a job left: a bounded window of an output or an artifact, whatever its size."""

from __future__ import annotations

import base64
from contextlib import aclosing, suppress
from typing import IO, cast

from wasmgrid.mcp.answers import Piece
from wasmgrid.mcp.questions import ReadArtifact, ReadOutput
from wasmgrid.sdk import calls
from wasmgrid.sdk.async_client import AsyncClient

TEXT_BYTES = 32 * 1024
PICTURE_BYTES = 1 << 20

_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class _FullError(Exception):
    """The window has all that it holds."""


class Window:
    """Takes bytes as they come and keeps up to `most` of them from `offset` on; `full` where there were more."""

    def __init__(self, offset: int, most: int) -> None:
        self.data = bytearray()
        self.full = False
        self._offset = offset
        self._most = most
        self._seen = 0

    def write(self, chunk: bytes) -> int:
        """The next bytes; raises `_FullError` where no more are wanted."""
        start = max(0, self._offset - self._seen)
        self._seen += len(chunk)
        self.data += chunk[start:]
        if len(self.data) > self._most:
            del self.data[self._most :]
            self.full = True
            raise _FullError
        return len(chunk)


async def output(client: AsyncClient, asked: ReadOutput) -> Piece:
    """What a task has written so far to one stream, from an offset on."""
    window = Window(asked.offset, TEXT_BYTES)
    try:
        async with aclosing(client.stream(calls.logs(asked.job_id, follow=False, index=asked.index))) as chunks:
            async for chunk in chunks:
                if chunk.stream == "restart":  # another attempt began: what came before is not this run's
                    window = Window(asked.offset, TEXT_BYTES)
                elif chunk.stream == asked.stream:
                    window.write(chunk.data)
    except _FullError:
        pass
    return _piece(bytes(window.data), asked.offset, more=window.full)


async def artifact(client: AsyncClient, asked: ReadArtifact) -> Piece:
    """A piece of an artifact; of a picture all of it, where it is not too large."""
    window = Window(asked.offset, PICTURE_BYTES)
    wanted = calls.artifact(asked.job_id, asked.path, index=asked.index)
    with suppress(_FullError):
        await client.download(wanted, cast("IO[bytes]", window))
    data = bytes(window.data)
    kind = _picture_type(data)
    if kind and not window.full:
        return Piece(offset=asked.offset, bytes=len(data), base64=base64.b64encode(data).decode(), picture=kind)
    return _piece(data[:TEXT_BYTES], asked.offset, more=window.full or len(data) > TEXT_BYTES)


def _picture_type(data: bytes) -> str | None:
    return next((kind for magic, kind in _PICTURES.items() if data.startswith(magic)), None)


def _piece(data: bytes, offset: int, *, more: bool) -> Piece:
    text, used = _text(data, more=more)
    return Piece(
        offset=offset,
        bytes=used,
        text=text,
        base64=None if text is not None else base64.b64encode(data).decode(),
        next_offset=offset + used if more else None,
    )


def _text(data: bytes, *, more: bool) -> tuple[str | None, int]:
    """`data` as text and how many bytes that is: a character that is cut at the end is left to the next piece."""
    for cut in range(4 if more else 1):
        try:
            return data[: len(data) - cut].decode(), len(data) - cut
        except UnicodeDecodeError:
            continue
    return None, len(data)
