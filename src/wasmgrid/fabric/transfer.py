"""Blobs across the fabric, in frames that stay under its payload limit; several frames are on their way at a time."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from wasmgrid.core import wire
from wasmgrid.core.errors import (
    DigestMismatch,
    InvalidField,
    NotFound,
    ProtocolMismatch,
    TimedOutWaiting,
    TooLarge,
    Unavailable,
    Unreachable,
)
from wasmgrid.core.wire import FRAME_BYTES
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric

_WINDOW = 4  # frames under way: 2 MiB of memory per transfer
_FRAME_S = 15.0
_ANY_S = 2.0  # how long a frame waits for whichever server NATS chose, where there is one that is known to be there
_LAST_FRAME_S = 60.0  # its answer comes when the blob is durable
_TRIES = 4
_INLINE_BYTES = 4 << 20  # up to here a frame is hashed and written in 0.5 ms, right where it came in
_PAUSE_S = 0.1
_REFUSALS = {kind.code: kind for kind in (DigestMismatch, TooLarge, InvalidField)}

P = ParamSpec("P")
T = TypeVar("T")


async def fetch(fabric: Fabric, sha256: str, dest: Path, *, max_bytes: int, server_id: str = "") -> int:
    """Bring a blob to the file `dest`, which appears whole with its digest checked, or not at all. Its size in bytes.

    Frames come from any server; `server_id` is one that is known to be there, and is asked as soon as one is silent.
    Raises `NotFound` where no server has it, `TooLarge` before anything is written, `DigestMismatch`, `Unreachable` or
    `TimedOutWaiting` when the servers stay away for several tries.
    """
    servers = _Servers(fabric, server_id)
    first = await _frame(servers, sha256, 0)
    if first.size > max_bytes:
        raise TooLarge(f"blob {sha256[:12]} has {first.size} bytes, the limit here is {max_bytes}")

    async def rest() -> AsyncGenerator[Coroutine[Any, Any, wire.BlobFrame], None]:
        for offset in range(FRAME_BYTES, first.size, FRAME_BYTES):
            yield _frame(servers, sha256, offset)

    temporary = dest.with_name(f".{dest.name}.{secrets.token_hex(4)}")
    do = asyncio.to_thread if first.size > _INLINE_BYTES else _at_once
    writer = await do(_Writer, temporary)
    try:
        async with aclosing(_in_order(rest())) as frames:
            await do(writer.write, first.data)
            async for frame in frames:
                await do(writer.write, frame.data)
        await asyncio.to_thread(writer.finish, sha256, dest)  # replacing a file may wait for the disk
    except BaseException:
        await asyncio.to_thread(writer.discard)
        raise
    return first.size


async def is_there(fabric: Fabric, sha256: str, *, server_id: str = "") -> bool:
    """Whether the store has a blob. Raises as `fetch` where the servers stay away."""
    try:
        await _frame(_Servers(fabric, server_id), sha256, 0)
    except NotFound:
        return False
    return True


async def upload(fabric: Fabric, server_id: str, sha256: str, source: Path | bytes) -> None:
    """Give a blob to one server; when this returns, it is durable there.

    Raises what the server refuses it with (`DigestMismatch`, `TooLarge`, `Unavailable`: a full disk), `Unreachable` or
    `TimedOutWaiting` when that server stays away for several tries.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            await _upload_once(fabric, server_id, sha256, source)
        except (Unreachable, TimedOutWaiting, _Interrupted) as error:
            if not tries_left:
                raise Unreachable(f"server {server_id} did not take a blob: {error}") from error
            await asyncio.sleep(_PAUSE_S * (_TRIES - tries_left))
        else:
            return


async def _upload_once(fabric: Fabric, server_id: str, sha256: str, source: Path | bytes) -> None:
    subject = subjects.server_blobs(server_id)
    name = secrets.token_hex(8)

    async def puts() -> AsyncGenerator[Coroutine[Any, Any, None], None]:
        offset = 0
        async with aclosing(_pieces(source)) as pieces:
            async for data, last in pieces:
                put = wire.BlobPut(upload=name, sha256=sha256, offset=offset, data=data, last=last)
                yield _put(fabric, subject, put)
                offset += len(data)

    async with aclosing(_in_order(puts())) as answers:
        async for _ in answers:
            pass


async def _put(fabric: Fabric, subject: str, put: wire.BlobPut) -> None:
    answer = await fabric.request(subject, put, timeout_s=_LAST_FRAME_S if put.last else _FRAME_S)
    if not isinstance(answer, wire.BlobPutAck):
        raise ProtocolMismatch(f"expected a blob answer, got {type(answer).__name__}")
    code, _, message = answer.error.partition(": ")
    if code == _Interrupted.code:
        raise _Interrupted(message)
    if code:
        raise _REFUSALS.get(code, Unavailable)(message)


class _Interrupted(Unavailable):
    """The server knows nothing of the frames before this one (it was restarted): begin again."""

    code = "upload_interrupted"


def interrupted() -> Unavailable:
    """What a server says to a frame in the middle of an upload that it does not know."""
    return _Interrupted("the upload is not known here")


async def _pieces(source: Path | bytes) -> AsyncGenerator[tuple[bytes, bool], None]:
    """The frames of a blob, each with whether it is the last; an empty blob has one, empty."""
    if isinstance(source, bytes):
        for offset in range(0, max(len(source), 1), FRAME_BYTES):
            yield source[offset : offset + FRAME_BYTES], offset + FRAME_BYTES >= len(source)
        return
    file = await asyncio.to_thread(source.open, "rb")
    with file:
        data = await asyncio.to_thread(file.read, FRAME_BYTES)
        last = False
        while not last:
            following = await asyncio.to_thread(file.read, FRAME_BYTES)
            last = not following
            yield data, last
            data = following


async def _frame(servers: _Servers, sha256: str, offset: int) -> wire.BlobFrame:
    answer = await servers.ask(wire.BlobRequest(sha256=sha256, offset=offset))
    if isinstance(answer, wire.Answer):
        raise Unavailable(answer.message, hint=answer.hint)
    if not isinstance(answer, wire.BlobFrame):
        raise ProtocolMismatch(f"expected a blob frame, got {type(answer).__name__}")
    if answer.size < 0:
        raise NotFound(f"no server has the blob {sha256}")
    if len(answer.data) != min(FRAME_BYTES, answer.size - offset):
        raise ProtocolMismatch(f"a frame of {len(answer.data)} bytes at {offset} of {answer.size}")
    return answer


class _Servers:
    """Whom one transfer asks. NATS goes on choosing a server that is frozen for 12 s, for half of all frames."""

    def __init__(self, fabric: Fabric, known: str) -> None:
        self._fabric = fabric
        self._known = known
        self._all_answer = True

    async def ask(self, message: wire.Message) -> wire.Message:
        """A question that may be repeated, over a reconnection or a restart of a server."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._ask_one(message)
            except (Unreachable, TimedOutWaiting):
                if not tries_left:
                    raise
                await asyncio.sleep(_PAUSE_S * 2 ** (_TRIES - tries_left))
        raise AssertionError  # the last try returns or raises

    async def _ask_one(self, message: wire.Message) -> wire.Message:
        if not self._known:
            return await self._fabric.request(subjects.blobs(), message, timeout_s=_FRAME_S)
        if self._all_answer:
            try:
                return await self._fabric.request(subjects.blobs(), message, timeout_s=_ANY_S)
            except TimedOutWaiting:
                self._all_answer = False
        return await self._fabric.request(subjects.server_blobs(self._known), message, timeout_s=_FRAME_S)


async def _in_order(asks: AsyncGenerator[Coroutine[Any, Any, T], None]) -> AsyncGenerator[T, None]:
    """The answers in the order of the questions, a window of which runs ahead; the first failure of any ends it."""
    ahead: deque[asyncio.Task[T]] = deque()
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(task: asyncio.Task[T]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not failure.done():
            failure.set_exception(error)

    async def next_answer() -> T:
        either: set[asyncio.Future[Any]] = {ahead[0], failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            failure.result()
        return ahead.popleft().result()

    try:
        async for ask in asks:
            ahead.append(task := asyncio.create_task(ask))
            task.add_done_callback(note)
            if len(ahead) >= _WINDOW:
                yield await next_answer()
        while ahead:
            yield await next_answer()
    finally:
        await asks.aclose()
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
        if not failure.cancel():
            failure.exception()  # seen, whether or not it was raised above


async def _at_once(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)


class _Writer:
    """A temporary file and the digest of what went in; used from threads, one call at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._file = path.open("xb")

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def finish(self, sha256: str, dest: Path) -> None:
        self._file.close()
        if self._digest.hexdigest() != sha256:
            raise DigestMismatch(f"blob {sha256[:12]} arrived as {self._digest.hexdigest()[:12]}")
        self._path.replace(dest)

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
