"""The form in which results are kept: MessagePack arrays, a third of the size of maps; what columns say is not in them.

Rows live longer than releases: what is added goes to the end and has a default. Rows of before 0003 are maps.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from wasmgrid.core.job import Artifact, Output, Stats, TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome

_NOTHING = Output()
_MAP = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # the first byte of what MessagePack calls a map

_encode = msgspec.msgpack.Encoder().encode
_stats_of = msgspec.structs.astuple


class _Stats(msgspec.Struct, array_like=True, frozen=True):
    """`Stats`; the order is the stored one."""

    queue_ms: float | None = None
    build_ms: float | None = None
    fetch_ms: float = 0.0
    precompile_ms: float = 0.0
    instantiate_ms: float = 0.0
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory_bytes: int = 0
    output_bytes: int = 0
    fuel_used: int | None = None
    module_cached: bool = False
    precompile_cached: bool = False
    cpu_enforced: bool = False


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """A result, or one for a range of tasks (`values`)."""

    attempt: int
    worker_id: str
    outcome: Outcome
    stats: _Stats
    started_at: float
    finished_at: float
    return_value: str | None = None
    stdout: Output = _NOTHING
    stderr: Output = _NOTHING
    artifacts: list[Artifact] = []
    module_missing: bool = False
    values: bytes = b""


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a result; what the task printed is not looked at."""

    attempt: int
    worker_id: str
    outcome: Outcome
    stats: _Stats
    started_at: float
    finished_at: float

    @property
    def wall_ms(self) -> float:
        """How long it ran."""
        return self.stats.wall_ms


_decode = msgspec.msgpack.Decoder(_Kept).decode
_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode_map = msgspec.msgpack.Decoder(TaskResult).decode


def pack(result: TaskResult) -> bytes:
    """A task's result, without what its row says beside it."""
    return _encode(
        (
            result.attempt,
            result.worker_id,
            result.outcome,
            _stats_of(result.stats),
            result.started_at,
            result.finished_at,
            result.return_value,
            result.stdout,
            result.stderr,
            result.artifacts,
            result.module_missing,
        )
    )


def pack_range(given: TaskRange, values: bytes) -> bytes:
    """One for several tasks; `values` are theirs alone, where the row is for a part of what was given."""
    stats = _stats_of(given.stats)
    head = (given.attempt, given.worker_id, given.outcome, stats, given.started_at, given.finished_at)
    return _encode((*head, None, _NOTHING, _NOTHING, (), False, values))


def unpack(packed: bytes, job_id: int, index: int, count: int) -> TaskResult | TaskRange:
    """What a row holds."""
    if packed[0] in _MAP:
        return _decode_map(packed)
    kept = _decode(packed)
    if count > 1:
        return TaskRange(
            job_id=job_id,
            first=index,
            count=count,
            attempt=kept.attempt,
            worker_id=kept.worker_id,
            outcome=kept.outcome,
            values=kept.values,
            stats=_stats(kept.stats),
            started_at=kept.started_at,
            finished_at=kept.finished_at,
        )
    return _one(kept, job_id, index, kept.values.decode() if kept.values else kept.return_value)


def unpack_tasks(packed: bytes, job_id: int, index: int, count: int, *, after: int) -> Iterator[TaskResult]:
    """The results of a row's tasks above the index `after`, one by one."""
    if packed[0] in _MAP:
        yield _decode_map(packed)
        return
    kept = _decode(packed)
    low = max(0, after + 1 - index)
    values = kept.values.split(b"\n") if kept.values else None
    for at in range(low, count):
        yield _one(kept, job_id, index + at, kept.return_value if values is None else values[at].decode())


def stats_of(packed: bytes) -> Stats:
    """What a row's task cost."""
    return _decode_map(packed).stats if packed[0] in _MAP else _stats(_decode(packed).stats)


def head_of(packed: bytes) -> Head:
    """The beginning of what a row holds."""
    if packed[0] not in _MAP:
        return _decode_head(packed)
    old = _decode_map(packed)
    stats = _Stats(*_stats_of(old.stats))
    return Head(old.attempt, old.worker_id, old.outcome, stats, old.started_at, old.finished_at)


def _one(kept: _Kept, job_id: int, index: int, value: str | None) -> TaskResult:
    return TaskResult(
        job_id=job_id,
        index=index,
        attempt=kept.attempt,
        worker_id=kept.worker_id,
        outcome=kept.outcome,
        stdout=kept.stdout,
        stderr=kept.stderr,
        artifacts=kept.artifacts,
        stats=_stats(kept.stats),
        module_missing=kept.module_missing,
        started_at=kept.started_at,
        finished_at=kept.finished_at,
        return_value=value,
    )


def _stats(kept: _Stats) -> Stats:
    return Stats(
        queue_ms=kept.queue_ms,
        build_ms=kept.build_ms,
        fetch_ms=kept.fetch_ms,
        precompile_ms=kept.precompile_ms,
        instantiate_ms=kept.instantiate_ms,
        wall_ms=kept.wall_ms,
        cpu_ms=kept.cpu_ms,
        peak_memory_bytes=kept.peak_memory_bytes,
        output_bytes=kept.output_bytes,
        fuel_used=kept.fuel_used,
        module_cached=kept.module_cached,
        precompile_cached=kept.precompile_cached,
        cpu_enforced=kept.cpu_enforced,
    )
