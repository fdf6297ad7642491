"""A network between a worker and its fabric that can be cut, one way or both: what is on its way waits, as in TCP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

from tests.worker.rig import Rig

THERE, BACK = "its words", "words to it"


class Cut:
    """Passes bytes on while its gates are open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._gates = {THERE: asyncio.Event(), BACK: asyncio.Event()}
        self._pumps: set[asyncio.Task[None]] = set()
        self.url = ""
        self.open()

    def close(self, *ways: str) -> None:
        """Let nothing through these ways (without any: both)."""
        for way in ways or (THERE, BACK):
            self._gates[way].clear()

    def open(self) -> None:
        """Let everything through."""
        for gate in self._gates.values():
            gate.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a worker, until either side ends it."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        for pump in (self._pump(reader, far_writer, THERE), self._pump(far_reader, writer, BACK)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            try:
                while data := await reader.read(1 << 16):
                    await self._gates[way].wait()
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.close()

    async def end(self) -> None:
        """Break every connection."""
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


@asynccontextmanager
async def proxy(made: Rig) -> AsyncIterator[Cut]:
    """A way to the fabric of `made`: its `url` has the credential in it."""
    assert made.endpoint is not None
    cut = Cut(urlsplit(made.endpoint.url).port or 0)
    server = await asyncio.start_server(cut.accept, "127.0.0.1", 0)
    credential = f"{quote(made.endpoint.user or '')}:{quote(made.endpoint.password or '')}"
    cut.url = f"nats://{credential}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cut
    finally:
        server.close()
        await cut.end()
