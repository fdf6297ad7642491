"""What a worker brings and takes over the fabric, patiently: servers may be away for a while."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog

from wasmgrid.core.errors import TimedOutWaiting, Unavailable, Unreachable
from wasmgrid.fabric import transfer
from wasmgrid.fabric.connection import Fabric

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.2, 5.0
_LOOK_S = 0.5  # how often a transfer looks whether its server still leads

T = TypeVar("T")

log = structlog.get_logger()


class Courier:
    """Fetches and uploads until it works or its caller is cancelled; what can never work is raised.

    `leader_id` says which server leads now and takes uploads: another after a take-over.
    """

    def __init__(self, fabric: Fabric, leader_id: Callable[[], str]) -> None:
        self._fabric = fabric
        self._leader_id = leader_id

    async def fetch(self, sha256: str, dest: Path, *, max_bytes: int) -> int:
        """As `transfer.fetch`, waiting for servers that are away."""

        def fetch(server_id: str) -> Coroutine[Any, Any, int]:
            return transfer.fetch(self._fabric, sha256, dest, max_bytes=max_bytes, server_id=server_id)

        return await _patiently(lambda: self._while_it_leads(fetch))

    async def is_there(self, sha256: str) -> bool:
        """Whether the store has a blob, as soon as a server can say so."""

        def ask(server_id: str) -> Coroutine[Any, Any, bool]:
            return transfer.is_there(self._fabric, sha256, server_id=server_id)

        return await _patiently(lambda: self._while_it_leads(ask))

    async def upload(self, source: Path | bytes) -> tuple[str, int]:
        """Make `source` durable at the leader, whoever that comes to be meanwhile; its digest and size."""
        sha256, size = await asyncio.to_thread(_digest, source)

        def upload(server_id: str) -> Coroutine[Any, Any, None]:
            return transfer.upload(self._fabric, server_id, sha256, source)

        await _patiently(lambda: self._while_it_leads(upload))
        return sha256, size

    async def _while_it_leads(self, call: Callable[[str], Coroutine[Any, Any, T]]) -> T:
        """One try. A server that stopped leading may be frozen, and each frame to it would wait for its time-out."""
        server_id = self._leader_id()
        doing = asyncio.create_task(call(server_id))
        try:
            while not (await asyncio.wait({doing}, timeout=_LOOK_S))[0]:
                if self._leader_id() != server_id:
                    raise Unavailable(f"{server_id} leads no more")
            return doing.result()
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await call()
        except (Unreachable, TimedOutWaiting, Unavailable) as error:
            log.warning("a blob waits for the servers", error=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def _digest(source: Path | bytes) -> tuple[str, int]:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest(), len(source)
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), source.stat().st_size
