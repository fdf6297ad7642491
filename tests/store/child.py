"""A process with a store of its own, to be killed or starved: `child.py submit|starve HOME`."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from pathlib import Path

from wasmgrid.core.errors import Unavailable
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob

NEW = NewJob(spec=StoredSpec(name="x", env={"PADDING": "x" * 2000}), state=JobState.QUEUED)


async def submit_for_ever(home: Path) -> None:
    """Say every number once it is acknowledged, and the digest of a blob put before."""
    store = await Store.open(home)

    async def loop(lane: int) -> None:
        for count in range(1_000_000):
            sha256, _ = await store.blobs.put(b"%d %d" % (lane, count))
            submitted = await store.submit(NEW)
            os.write(1, f"{submitted.id} {sha256}\n".encode())

    async with asyncio.TaskGroup() as lanes:
        for lane in range(8):
            lanes.create_task(loop(lane))


async def starve(home: Path) -> None:
    """Submit while files may not grow past a limit, then without one; tell what was acknowledged and what refused."""
    store = await Store.open(home)
    before = (await store.submit(NEW)).id
    wal = (home / "store" / "db.sqlite3-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 100_000, resource.RLIM_INFINITY))
    answers = [
        answer
        for _ in range(10)
        for answer in await asyncio.gather(*(store.submit(NEW) for _ in range(20)), return_exceptions=True)
    ]
    blob = await asyncio.gather(store.blobs.put(b"x" * 5_000_000), return_exceptions=True)
    listed = len(await store.jobs("default", limit=1000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = (await store.submit(NEW)).id
    sha256, _ = await store.blobs.put(b"x" * 5_000_000)
    await store.close()
    told = {
        "acknowledged": [before, *(answer.id for answer in answers if not isinstance(answer, BaseException)), after],
        "refused": sum(isinstance(answer, Unavailable) for answer in answers),
        "asked": len(answers),
        "blob_refused": isinstance(blob[0], Unavailable),
        "listed_meanwhile": listed,
        "blob": sha256,
    }
    os.write(1, b"\n" + json.dumps(told).encode())


if __name__ == "__main__":
    asyncio.run({"submit": submit_for_ever, "starve": starve}[sys.argv[1]](Path(sys.argv[2])))
