"""Parts of control that need no grid: large answers, refusals over the wire, who waits, what the sweep asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmgrid.control import questions, sweep, watchers
from wasmgrid.control.leading import refusal
from wasmgrid.control.sweep import Sweep
from wasmgrid.control.watchers import Watchers
from wasmgrid.core import wire
from wasmgrid.core.errors import NotFound, ProtocolMismatch, WasmgridError
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.fabric import subjects
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob, OpenJob


def test_a_large_answer_comes_in_parts_that_fit_and_another_leader_has_none_of_them() -> None:
    kept, others = questions.Parts(), questions.Parts()
    whole = bytes(range(256)) * 5000
    first = kept.first(whole)
    got = [first.data]
    for number in range(1, first.parts):
        part = kept.more(questions.More(first.token, number))
        assert len(wire.encode(wire.Answer(body=questions.encode(part)))) < 1 << 20
        got.append(part.data)
    assert b"".join(got) == whole
    others.first(whole)
    with pytest.raises(NotFound):
        others.more(questions.More(first.token, 1))
    assert kept.first(b"small").parts == 1


def test_only_the_latest_answers_are_kept() -> None:
    kept = questions.Parts()
    first = kept.first(bytes(questions.PART_BYTES + 1))
    for _ in range(questions.KEPT_ANSWERS):
        kept.first(bytes(questions.PART_BYTES + 1))
    with pytest.raises(NotFound):
        kept.more(questions.More(first.token, 1))


def test_a_refusal_is_the_same_error_on_the_other_side() -> None:
    with pytest.raises(NotFound, match="no worker") as raised:
        questions.decode_part(wire.Answer(code="not_found", message="no worker x", hint="list"))
    assert raised.value.hint == "list"
    with pytest.raises(WasmgridError, match="odd"):
        questions.decode_part(wire.Answer(code="of_a_later_version", message="odd"))
    for nonsense in (b"", b"\xc1", questions.encode({"type": "nothing"})):
        with pytest.raises(ProtocolMismatch):
            questions.decode(nonsense)
    with pytest.raises(ProtocolMismatch):
        questions.decode_part(wire.Answer(body=b"\xc1"))


def test_hostile_81_a_worker_speaks_for_itself_alone() -> None:
    capacity = Resources()
    own: list[wire.Message] = [
        wire.Results(worker_id="w:2", incarnation="1"),
        wire.Leave(worker_id="w:2", incarnation="1"),
        wire.Refused(worker_id="w:2", attempt=1, reason=""),
        wire.Inventory(worker=WorkerInfo(id="w:2", incarnation="1", version="", capacity=capacity), term=1),
    ]
    for message in own:
        assert refusal(message, subjects.leader("w:2")) == ""
        for other in ("w", "w:3", "v:2"):
            assert "not its sender's" in refusal(message, subjects.leader(other))
    assert refusal(wire.Hello(term=9, leader_id="w", lease_s=1, heartbeat_s=1), subjects.leader("w"))
    assert refusal(wire.Leave(worker_id="", incarnation="1"), subjects.leader("w"))
    huge = WorkerInfo(id="w", incarnation="1", version="", capacity=Resources(memory_mb=1 << 63))
    assert "memory_mb" in refusal(wire.Inventory(worker=huge, term=1), subjects.leader("w"))


def test_who_waits_hears_of_an_end_however_many_there_were_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "REMEMBERED", 2)
    known = Watchers()
    with known.listening(1) as watcher:
        assert known.waiting() == [1]
        for job_id in (1, 2, 3, 4):
            known.ended(job_id)
        assert watcher.ended
        assert watcher.changed.is_set()
    assert [known.has_ended(job_id) for job_id in (1, 2, 3, 4)] == [False, False, True, True]
    assert known.waiting() == []


def test_the_sweep_goes_round_in_pieces_and_looks_at_the_newest_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PIECE", 3)
    monkeypatch.setattr(sweep, "EVERY_S", 0.01)

    async def story() -> None:
        store = await Store.open(tmp_path)
        known: dict[int, bool] = {}
        cancelled: set[int] = set()

        def arrive(job: OpenJob, old: bool) -> None:
            known[job.id] = old

        async def add() -> int:
            new = NewJob(spec=StoredSpec(module_sha256="0" * 64), state=JobState.QUEUED)
            return (await store.submit(new)).id

        swept = Sweep(store, knows=known.__contains__, arrive=arrive, cancel=cancelled.add)
        first = [await add() for _ in range(8)]
        await swept.load()
        assert known == dict.fromkeys(first, True)
        running = asyncio.create_task(swept.run())
        try:
            newest = await add()
            await _until(lambda: known.get(newest) is False)
            del known[first[1]]  # as if its row had become visible only now
            del known[first[6]]
            await store.request_cancel("default", first[4])
            await _until(lambda: set(known) == {*first, newest} and cancelled == {first[4]})
            assert known[first[1]], "a worker may hold it: it is from before the take-over"
            hinted = await add()
            swept.hint([hinted, newest])
            await _until(lambda: known.get(hinted) is False)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await store.close()

    asyncio.run(story())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
