"""Results as lines of JSON (https://github.com/ndjson/ndjson-spec), in the order of their ends: never all in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.server.changes import Changes, changes_of
from wasmgrid.server.service import Service
from wasmgrid.server.views import result_view, text_of
from wasmgrid.store.rows import JobRow

MEDIA_TYPE = "application/x-ndjson"
KEEP_ALIVE = b"\n"
KEEP_ALIVE_S = 15.0
POLL_S = 1.0  # what is recorded on another server's watch is seen by then
GATHER_S = 0.02  # results that come within this time after a look go out together
ROWS = 250  # of the store at a time
PIECE_BYTES = 64 * 1024

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Lines:
    """One reader's lines of one job. `after` is the `seq` of the last line that it has, 0 at first.

    A line's `seq` is where to go on after a cut: what follows is all that the reader may lack, and some that it has.
    `failed`: only tasks that did not succeed. `values`, `lean`: only what a call gave, what a task printed.
    """

    service: Service
    after: int = 0
    failed: bool = False
    values: bool = False
    lean: bool = False

    async def of(self, row: JobRow, *, follow: bool) -> AsyncIterator[bytes]:
        """Pieces of whole lines: those that there are, and with `follow` those that come until the job's end."""
        if not follow or row.state in FINISHED:
            async for piece, _ in self._there(row.id, self.after):
                yield piece
            return
        yield KEEP_ALIVE  # the headers go out now, and the reader knows that it follows
        async with changes_of(self.service.control, row.id) as changes:
            async for piece in self._coming(row.id, changes):
                yield piece

    async def _coming(self, job_id: int, changes: Changes) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        after, spoke_at = self.after, loop.time()
        while True:
            over = changes.over
            changes.heard()
            async for piece, cursor in self._there(job_id, after):
                after = cursor
                if piece:
                    spoke_at = loop.time()
                    yield piece
            if over:
                return
            if loop.time() - spoke_at > KEEP_ALIVE_S:
                spoke_at = loop.time()
                yield KEEP_ALIVE
            await asyncio.sleep(GATHER_S)
            await changes.wait(POLL_S)

    async def _there(self, job_id: int, after: int) -> AsyncIterator[tuple[bytes, int]]:
        """(whole lines, the cursor that they are behind) of what is recorded now; the last has no lines."""
        service = self.service
        while True:
            page = await service.store.results(service.tenant, job_id, after=after, limit=ROWS, failed=self.failed)
            before = [after, *page.seqs]
            rows = zip(page.results, before, page.seqs, strict=False)
            lines = (line for each, low, seq in rows for line in self._lines(each, low, seq))
            for piece in _pieces(lines):
                yield piece, after
                await asyncio.sleep(0)  # others have their turn between two pieces of a long page
            if not page.results:
                yield b"", page.cursor
                return
            after = page.cursor

    def _lines(self, each: TaskResult | TaskRange, before: int, seq: int) -> Iterator[bytes]:
        """The lines of one row. Behind the last of several is the row; who stops within it is given it again."""
        last = each.index if isinstance(each, TaskResult) else each.first + each.count - 1
        if self.values and isinstance(each, TaskRange) and each.values:
            for index, value in enumerate(each.values.split(b"\n"), each.first):
                behind = seq if index == last else before
                yield b'{"index":%d,"seq":%d,"return_value":%b}\n' % (index, behind, value)
            return
        for result in each.results() if isinstance(each, TaskRange) else (each,):
            yield self._one(result, seq if result.index == last else before)

    def _one(self, result: TaskResult, seq: int) -> bytes:
        if self.values and result.return_value is not None:
            return b'{"index":%d,"seq":%d,"return_value":%b}\n' % (result.index, seq, result.return_value.encode())
        if self.lean:
            return _encode(_ended(result, seq) | _printed(result)) + b"\n"
        if self.values:
            return _encode(_ended(result, seq)) + b"\n"
        return b'{"seq":%d,%b\n' % (seq, _encode(result_view(result))[1:])


def _ended(result: TaskResult, seq: int) -> dict[str, Any]:
    """How a task ended, and no more."""
    outcome = result.outcome
    return {
        "index": result.index,
        "seq": seq,
        "outcome": outcome.kind,
        "exit_code": outcome.exit_code,
        "trap_kind": outcome.trap_kind,
        "message": outcome.message,
    }


def _printed(result: TaskResult) -> dict[str, Any]:
    """What it wrote to stdout."""
    stdout, in_base64 = text_of(result.stdout)
    return {"stdout": stdout, "stdout_base64": in_base64, "stdout_sha256": result.stdout.sha256}


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, joined as long as they are short."""
    kept: list[bytes] = []
    size = 0
    for line in lines:
        kept.append(line)
        size += len(line)
        if size > PIECE_BYTES:
            yield b"".join(kept)
            kept, size = [], 0
    if kept:
        yield b"".join(kept)
