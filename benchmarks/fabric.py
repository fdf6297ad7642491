"""The fabric alone, two processes and a nats-server: request and answer, rate, blobs of two sizes; then with TLS."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from benchmarks.grid import quantile, show, temporary_home
from wasmgrid.core import wire
from wasmgrid.fabric import transfer
from wasmgrid.fabric.blobserver import BlobServer
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.home import FabricEndpoint, Home

SUBJECT = "wasmgrid.benchmark"
REQUESTS, CLIENTS, REQUESTS_EACH = 5000, 64, 400
SMALL, SMALL_TIMES = 2_400_000, 50
LARGE, LARGE_TIMES = 100 << 20, 5
LIMIT = 1 << 30


class Memory:
    """Blobs in memory, so that what is measured is the way and not the disk."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    async def size(self, sha256: str) -> int | None:
        return len(self.blobs[sha256]) if sha256 in self.blobs else None

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        return self.blobs[sha256][offset : offset + length]

    async def put(self, data: bytes | AsyncIterator[bytes], *, expected: str | None, max_bytes: int) -> tuple[str, int]:
        assert not isinstance(data, bytes)
        assert expected is not None
        whole = b"".join([piece async for piece in data])
        assert len(whole) <= max_bytes
        self.blobs[expected] = whole
        return expected, len(whole)


async def serve(endpoint: FabricEndpoint) -> None:
    """The other process: answers until it is ended."""
    fabric = await Fabric.connect(endpoint, name="benchmark-server")

    async def answer(message: wire.Message, _reply: str) -> wire.Message:
        return message

    await fabric.serve(SUBJECT, answer)
    await BlobServer(fabric, Memory(), "benchmark", max_upload_bytes=LIMIT).start()
    print("serving", flush=True)
    await asyncio.Event().wait()


async def requests(fabric: Fabric, count: int) -> list[float]:
    """Ask one after the other; milliseconds of each."""
    took, question = [], wire.BlobPutAck(received=1)
    for _ in range(count):
        began = time.perf_counter()
        await fabric.request(SUBJECT, question, timeout_s=30)
        took.append((time.perf_counter() - began) * 1000)
    return took


async def blobs(fabric: Fabric, directory: Path, size: int, times: int) -> tuple[float, float]:
    """Median milliseconds of (upload, fetch)."""
    data = os.urandom(size)
    sha256 = hashlib.sha256(data).hexdigest()
    up, down = [], []
    for number in range(times):
        began = time.perf_counter()
        await transfer.upload(fabric, "benchmark", sha256, data)
        uploaded = time.perf_counter()
        await transfer.fetch(fabric, sha256, directory / f"{size}-{number}", max_bytes=LIMIT)
        up.append((uploaded - began) * 1000)
        down.append((time.perf_counter() - uploaded) * 1000)
        await asyncio.to_thread((directory / f"{size}-{number}").unlink)
    return quantile(up, 0.5), quantile(down, 0.5)


async def measure(home: Home, *, listen: str | None) -> None:
    """All of it, printed: on loopback, or with TLS where `listen` names an address."""
    nats = EmbeddedNats(home.create(), listen=listen)
    endpoint = await nats.start()
    argv = [sys.executable, "-m", "benchmarks.fabric", str(home.path)]
    other = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    assert other.stdout is not None
    await other.stdout.readline()
    fabric = await Fabric.connect(endpoint, name="benchmark-client")
    took = await requests(fabric, REQUESTS)
    began = time.perf_counter()
    await asyncio.gather(*(requests(fabric, REQUESTS_EACH) for _ in range(CLIENTS)))
    rate = CLIENTS * REQUESTS_EACH / (time.perf_counter() - began)
    small = await blobs(fabric, home.path, SMALL, SMALL_TIMES)
    large = await blobs(fabric, home.path, LARGE, LARGE_TIMES)
    show(
        f"fabric, between two processes{', with TLS' if listen else ''}",
        [
            ("request and answer, p50", f"{quantile(took, 0.5):.2f} ms"),
            ("request and answer, p99", f"{quantile(took, 0.99):.2f} ms"),
            (f"rate with {CLIENTS} at a time", f"{rate:.0f}/s"),
            ("blob of 2.4 MB, upload / fetch", f"{small[0]:.1f} / {small[1]:.1f} ms"),
            ("blob of 100 MiB, upload / fetch", f"{large[0]:.0f} / {large[1]:.0f} ms"),
        ],
    )
    await fabric.close()
    other.kill()
    await other.wait()
    await nats.stop()


def main() -> None:
    """The server's side where a home is named, else the measurement."""
    if len(sys.argv) > 1:
        endpoint = Home(Path(sys.argv[1])).fabric()
        assert endpoint is not None
        uvloop.run(serve(endpoint))
    else:
        for listen in (None, "127.0.0.1:0"):
            with temporary_home() as home:
                uvloop.run(measure(Home(Path(home)), listen=listen))


if __name__ == "__main__":
    main()
