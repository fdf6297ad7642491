"""The server's side of `transfer`: blobs of the store in frames, and uploads that become blobs of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import structlog

from wasmgrid.core import wire
from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidField, NotFound, TooLarge, Unavailable, WasmgridError
from wasmgrid.core.wire import FRAME_BYTES
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.subscription import Subscription
from wasmgrid.fabric.transfer import interrupted

_MAX_UPLOADS = 256
_STALL_S = 60.0  # an upload that hears nothing for so long is dropped; an ended one is remembered for so long
_TURN_S = 12.0  # how long a frame waits for those before it
_AHEAD = 4

log = structlog.get_logger()


class Blobs(Protocol):
    """What this needs of the store's blobs. `put` returns when the blob is durable and its digest was right."""

    async def size(self, sha256: str) -> int | None: ...

    async def read(self, sha256: str, offset: int, length: int) -> bytes: ...

    async def put(
        self, data: bytes | AsyncIterator[bytes], *, expected: str | None, max_bytes: int
    ) -> tuple[str, int]: ...


class BlobServer:
    """Answers `BlobRequest` (shared among servers) and `BlobPut` (to this server) between `start` and `stop`."""

    def __init__(self, fabric: Fabric, blobs: Blobs, server_id: str, *, max_upload_bytes: int) -> None:
        self._fabric = fabric
        self._blobs = blobs
        self._server_id = server_id
        self._max_upload_bytes = max_upload_bytes
        self._uploads: dict[str, _Upload] = {}
        self._subscriptions: list[Subscription] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self._sweeper = asyncio.create_task(self._sweep(), name="uploads")
        self._subscriptions = [
            await self._fabric.serve(subjects.blobs(), self._get, queue="servers", concurrency=64),
            await self._fabric.serve(subjects.server_blobs(self._server_id), self._put, concurrency=_MAX_UPLOADS),
        ]

    async def stop(self) -> None:
        """Answer no more; unfinished uploads are dropped, which their frames under way are told."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for name in list(self._uploads):
            await self._uploads.pop(name).drop()
        for subscription in self._subscriptions:
            await subscription.stop()

    async def _get(self, message: wire.Message, _reply: str) -> wire.Message | None:
        if not isinstance(message, wire.BlobRequest):
            return None
        missing = wire.BlobFrame(data=b"", size=-1)
        if not is_sha256(message.sha256) or message.offset < 0:
            return missing
        try:
            size = await self._blobs.size(message.sha256)
            if size is None:
                return missing
            data = await self._blobs.read(message.sha256, message.offset, FRAME_BYTES)
        except NotFound:  # collected between the two
            return missing
        except WasmgridError as error:  # told at once, so that nobody waits for what does not come
            return wire.Answer(code=error.code, message=error.message, hint=error.hint)
        return wire.BlobFrame(data=data, size=size)

    async def _put(self, message: wire.Message, reply: str) -> wire.Message | None:
        if not isinstance(message, wire.BlobPut):
            return await self._get(message, reply)  # from who found another server silent
        try:
            return wire.BlobPutAck(received=await self._upload(message).take(message))
        except WasmgridError as error:
            return wire.BlobPutAck(received=0, error=f"{error.code}: {error.message}")

    def _upload(self, put: wire.BlobPut) -> _Upload:
        upload = self._uploads.get(put.upload)
        if upload is None:
            if put.offset:
                raise interrupted()
            if not is_sha256(put.sha256):
                raise InvalidField(f"{put.sha256!r} is not a digest", field="sha256")
            self._make_room()
            upload = self._uploads[put.upload] = _Upload(self._blobs, put.sha256, self._max_upload_bytes)
        return upload

    def _make_room(self) -> None:
        """Forget the oldest upload that has ended, where there are many; only those that go on keep others out.

        Whoever asks about one that was forgotten begins again, with the same bytes.
        """
        if len(self._uploads) < _MAX_UPLOADS:
            return
        ended = next((name for name, upload in self._uploads.items() if upload.ended), None)
        if ended is None:
            raise Unavailable("too many uploads at once")
        del self._uploads[ended]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_STALL_S / 6)
            for name, upload in list(self._uploads.items()):
                if upload.idle_s() > _STALL_S:
                    await self._uploads.pop(name).drop()


class _Upload:
    """Frames of one blob on their way into the store, taken in their order, each once."""

    def __init__(self, blobs: Blobs, sha256: str, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sha256 = sha256
        self._received = 0
        self._heard = time.monotonic()
        self._turn = asyncio.Condition()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=_AHEAD)
        self._stored = asyncio.create_task(self._store(blobs), name=f"upload {sha256[:12]}")

    @property
    def ended(self) -> bool:
        """Whether it is stored, or refused."""
        return self._stored.done()

    def idle_s(self) -> float:
        """Since when no frame has come, in seconds."""
        return time.monotonic() - self._heard

    async def drop(self) -> None:
        """Give it up, if it has not ended."""
        self._stored.cancel()
        await asyncio.gather(self._stored, return_exceptions=True)

    async def take(self, put: wire.BlobPut) -> int:
        """How much has arrived, with this frame; after the last one when all of it is durable.

        Raises what the store refuses the blob with, or `Unavailable` where frames before this one do not come.
        """
        self._heard = time.monotonic()
        try:
            async with asyncio.timeout(_TURN_S), self._turn:
                await self._turn.wait_for(lambda: self._received >= put.offset or self._stored.done())
                await self._take_in_turn(put)
                self._turn.notify_all()
        except TimeoutError:
            raise interrupted() from None
        if put.last or self._stored.done():
            await asyncio.wait([self._stored])
            if self._stored.cancelled():
                raise interrupted()
            self._stored.result()
        return self._received

    async def _take_in_turn(self, put: wire.BlobPut) -> None:
        if self._stored.done() or put.offset < self._received:
            return  # refused already, or a frame sent twice
        if put.sha256 != self._sha256:
            raise InvalidField("one upload, two digests", field="sha256")
        if self._received + len(put.data) > self._max_bytes:
            raise TooLarge(f"an upload may have {self._max_bytes} bytes at most")
        await self._frames.put(put.data)
        self._received += len(put.data)
        if put.last:
            await self._frames.put(None)

    async def _store(self, blobs: Blobs) -> None:
        try:
            await blobs.put(self._arriving(), expected=self._sha256, max_bytes=self._max_bytes)
        finally:
            while not self._frames.empty():  # whoever waits for room learns that it is over
                self._frames.get_nowait()

    async def _arriving(self) -> AsyncIterator[bytes]:
        while (frame := await self._frames.get()) is not None:
            yield frame
