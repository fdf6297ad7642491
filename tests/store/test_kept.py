"""Rows of results live longer than releases: what was written once is read for ever."""

from __future__ import annotations

import msgspec
from tests.conformance.samples import calls, result

from wasmgrid.core.job import Artifact, Output, Stats, TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.store.kept import pack, pack_range, stats_of, unpack, unpack_tasks

STATS = Stats(
    queue_ms=1.5,
    build_ms=2.5,
    fetch_ms=3.5,
    precompile_ms=4.5,
    instantiate_ms=5.5,
    wall_ms=6.5,
    cpu_ms=7.5,
    peak_memory_bytes=8,
    output_bytes=9,
    fuel_used=10,
    module_cached=True,
    precompile_cached=False,
    cpu_enforced=True,
)
TRAPPED = Outcome(kind=OutcomeKind.TRAPPED, trap_kind="unreachable", message="it trapped")
FULL = TaskResult(
    job_id=3,
    index=7,
    attempt=(5 << 32) + 1,
    worker_id="w1",
    outcome=TRAPPED,
    stdout=Output(data=b"out", size=3),
    stderr=Output(data=b"err", size=100_000, truncated=True, sha256="e" * 64),
    artifacts=[Artifact(path="a", bytes=4, sha256="a" * 64)],
    stats=STATS,
    module_missing=True,
    started_at=11.5,
    finished_at=12.5,
    return_value="[1]",
)
# What the release that brought this form wrote of FULL, but for the streams and artifacts.
OLD = bytes.fromhex(
    "9bcf0000000500000001a2773183a46b696e64a774726170706564a9747261705f6b696e64ab756e726561636861626c65a76d6573736167"
    "65aa697420747261707065649dcb3ff8000000000000cb4004000000000000cb400c000000000000cb4012000000000000cb401600000000"
    "0000cb401a000000000000cb401e00000000000008090ac3c2c3cb4027000000000000cb4029000000000000a35b315d808090c3"
)


def test_a_result_comes_back_as_it_was() -> None:
    for given in (FULL, result(1), msgspec.structs.replace(FULL, return_value=None)):
        assert unpack(pack(given), given.job_id, given.index, 1) == given
    assert stats_of(pack(FULL)) == STATS


def test_a_range_comes_back_as_it_was() -> None:
    given = msgspec.structs.replace(calls(1, 5, 4), stats=STATS)
    packed = pack_range(given, given.values)
    assert unpack(packed, 1, 5, 4) == given
    assert list(unpack_tasks(packed, 1, 5, 4, after=-1)) == list(given.results())
    assert list(unpack_tasks(packed, 1, 5, 4, after=6)) == list(given.results())[2:]
    alone = unpack(pack_range(given, b"70"), 1, 7, 1)  # what was left of it
    assert alone == list(given.results())[2]
    never = TaskRange(job_id=1, first=0, count=3, attempt=0, worker_id="", outcome=TRAPPED)
    assert unpack(pack_range(never, b""), 1, 0, 3) == never


def test_what_was_written_once_is_read() -> None:
    plain = msgspec.structs.replace(FULL, stdout=Output(), stderr=Output(), artifacts=[])
    assert pack(plain) == OLD
    assert unpack(OLD, 3, 7, 1) == plain


def test_what_was_written_before_there_were_arrays_is_read() -> None:
    packed = msgspec.msgpack.encode(FULL)
    assert unpack(packed, 3, 7, 1) == FULL
    assert list(unpack_tasks(packed, 3, 7, 1, after=-1)) == [FULL]
    assert stats_of(packed) == STATS
