"""Chunks: many tasks under one attempt, which end one by one, are acknowledged in parts, and change hands in parts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.protocol.test_leader import SETTINGS, commit, held_now, holder, info, join, leader, results, sent, written

from wasmgrid.core import wire
from wasmgrid.core.job import StoredSpec, TaskId, TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.protocol import events, views
from wasmgrid.protocol.leader import Leader

LOST = Outcome(kind=OutcomeKind.LOST, message="the runner crashed")
FEW = Resources(milli_cpus=1000, memory_mb=8000, disk_mb=8000, slots=8)  # one task at a time
MANY = Resources(milli_cpus=8000, memory_mb=8000, disk_mb=8000, slots=8)
QUICK_S = 0.0001


def array(led: Leader, count: int = 1000, *, now: float = 0.0, **fields: Any) -> list[events.Command]:
    spec = StoredSpec(array=f"0-{count - 1}", **fields)
    return led.handle(events.JobArrived(job_id=1, tenant="default", spec=spec, module_sha256="m" * 64), now)


def one(attempt: int, index: int, outcome: Outcome | None = None, *, took_s: float = QUICK_S) -> TaskResult:
    ended = outcome or exited(0)
    return TaskResult(
        job_id=1,
        index=index,
        attempt=attempt,
        worker_id="w1",
        outcome=ended,
        started_at=100.0,
        finished_at=100.0 + took_s,
    )


def chunked(count: int = 1000, **fields: Any) -> tuple[Leader, wire.Assign]:
    """A leader whose only worker was given a chunk of several tasks, after it showed how quick one is."""
    led = leader()
    join(led, worker=info(capacity=FEW))
    [first] = sent(array(led, count, **fields), wire.Assign)
    assert isinstance(first.work, wire.RunWork)
    assert first.work.count == 1
    commands = results(led, one(first.attempt, 0))
    [chunk] = sent(commands, wire.Assign)
    commit(led, commands)
    return led, chunk


def work_of(assign: wire.Assign) -> wire.RunWork:
    assert isinstance(assign.work, wire.RunWork)
    return assign.work


def test_a_chunk_is_as_large_as_its_tasks_are_quick_and_never_more_than_a_fair_share() -> None:
    _, chunk = chunked(100_000)
    assert work_of(chunk).first == 1
    assert work_of(chunk).count == pytest.approx(0.05 / QUICK_S, abs=1)
    assert work_of(chunked(100)[1]).count == pytest.approx(100 / 2, abs=1)
    slow = leader()
    join(slow, worker=info(capacity=FEW))
    [first] = sent(array(slow), wire.Assign)
    [second] = sent(results(slow, one(first.attempt, 0, took_s=3.0)), wire.Assign)
    assert work_of(second).count == 1


def test_parts_of_a_chunk_are_recorded_and_acknowledged_as_they_come() -> None:
    led, chunk = chunked()
    commands = results(led, one(chunk.attempt, 1), one(chunk.attempt, 2))
    assert not sent(commands, wire.Assign)  # its room is taken until the last of it
    [ack] = sent(commit(led, commands), wire.ResultsAck)
    assert (ack.attempts, ack.parts) == ([], [(chunk.attempt, 1, 2)])
    assert holder(led, 1, 3).attempt == chunk.attempt
    again = results(led, one(chunk.attempt, 2))
    assert not written(again, events.Record)
    assert sent(again, wire.ResultsAck) == [wire.ResultsAck(term=1, parts=[(chunk.attempt, 2, 1)])]


def test_a_range_of_results_is_one_in_the_store() -> None:
    led, chunk = chunked()
    work = work_of(chunk)
    values = b"\n".join(b"%d" % number for number in range(work.count))
    each = TaskRange(
        job_id=1,
        first=work.first,
        count=work.count,
        attempt=chunk.attempt,
        worker_id="w1",
        outcome=exited(0),
        values=values,
    )
    said = wire.Results(worker_id="w1", incarnation="1", ranges=[each])
    commands = led.handle(events.Said(said), 1.0)
    [record] = written(commands, events.Record)
    assert ([each.count for each in record.ranges], record.results) == ([work.count], [])
    assert sent(commands, wire.Assign)  # the next chunk
    again = led.handle(events.Said(said), 1.0)
    assert not written(again, events.Record)
    live = views.live(led.state, 1)
    assert live is not None
    assert live.counts == {"succeeded": 1 + work.count, "running": 1, "queued": 998 - work.count}


def test_a_lost_worker_gives_back_what_is_left_of_its_chunk() -> None:
    led, chunk = chunked()
    commit(led, results(led, one(chunk.attempt, 1)))
    join(led, 2.0, worker=info("w2", capacity=MANY))
    lost = led.handle(events.Said(wire.Leave(worker_id="w1", incarnation="1")), 3.0)
    [record] = written(lost, events.Record)
    count = work_of(chunk).count
    assert [(end.task.index, end.count, end.crashed) for end in record.ended] == [(2, count - 1, False)]
    [taken] = sent(lost, wire.Assign)
    assert (work_of(taken).first, taken.attempt > chunk.attempt) == (2, True)


def test_a_crash_in_a_chunk_blames_the_task_that_ran() -> None:
    led, chunk = chunked()
    commands = results(led, one(chunk.attempt, 1, LOST))
    [record] = written(commands, events.Record)
    assert [(end.task.index, end.count, end.crashed) for end in record.ended] == [(1, 1, True)]
    assert not sent(commands, wire.Assign)  # the chunk goes on, in its room
    assert holder(led, 1, 2).attempt == chunk.attempt
    rest = range(2, 1 + work_of(chunk).count)
    after = results(led, *(one(chunk.attempt, index) for index in rest))
    assert [work_of(assign).first for assign in sent(after, wire.Assign)] == [rest.stop]
    assert TaskId("run", 1, 1) in led.state.scheduler.queue  # by itself: it goes elsewhere where it can


def test_what_was_not_begun_is_given_back_and_goes_to_others() -> None:
    led, chunk = chunked()
    join(led, 1.5, worker=info("w2", capacity=MANY))
    rest = [(3, work_of(chunk).count - 2)]
    said = wire.Returned(worker_id="w1", incarnation="1", attempt=chunk.attempt, rest=rest)
    commands = led.handle(events.Said(said), 2.0)
    assert not written(commands, events.Record)  # nothing was lost
    assert holder(led, 1, 2).left == {1, 2}
    assert holder(led, 1, 3).worker_id == "w2"
    late = led.handle(events.Said(said), 2.5)  # it comes twice
    assert not sent(late, wire.Assign)


def test_a_heartbeat_that_lists_less_than_was_given_gives_the_difference_back() -> None:
    led, chunk = chunked()
    held = wire.Held(attempt=chunk.attempt, kind="run", id=1, index=1, count=work_of(chunk).count, rest=[(1, 5)])
    beat = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=chunk.seq, held=[held])
    led.handle(events.Said(beat), 2.0)
    assert holder(led, 1, 1).left == {1, 2, 3, 4, 5}


def test_a_cancelled_array_ends_what_waits_as_one_range_and_the_chunk_by_its_worker() -> None:
    led, chunk = chunked(100_000)
    commands = led.handle(events.CancelAsked(1), 2.0)
    assert [cancel.attempt for cancel in sent(commands, wire.Cancel)] == [chunk.attempt]
    [record] = written(commands, events.Record)
    count = work_of(chunk).count
    assert [(each.first, each.count) for each in record.ranges] == [(1 + count, 99_999 - count)]
    cancelled = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request")
    ended = results(led, one(chunk.attempt, 1, cancelled), now=2.1)
    rest = wire.Returned(worker_id="w1", incarnation="1", attempt=chunk.attempt, rest=[(2, count - 1)])
    more = led.handle(events.Said(rest), 2.1)
    commit(led, commands, 2.2)
    commit(led, ended, 2.2)
    last = commit(led, more, 2.2)
    [end] = [end for record in written(last + more, events.Record) for end in record.finished]
    assert end.state is JobState.CANCELLED


def test_too_many_failures_end_the_rest_and_the_job_has_failed() -> None:
    led, chunk = chunked(max_fails=1)
    commands = results(led, one(chunk.attempt, 1, exited(1)))
    assert not sent(commands, wire.Cancel)
    commands += results(led, one(chunk.attempt, 2, exited(2)))
    assert not sent(commands, wire.Cancel)
    commands = commit(led, commands)
    assert [cancel.attempt for cancel in sent(commands, wire.Cancel)] == [chunk.attempt]
    rest = wire.Returned(worker_id="w1", incarnation="1", attempt=chunk.attempt, rest=[(3, work_of(chunk).count - 2)])
    commands += led.handle(events.Said(rest), 2.0)
    done = commit(led, commands)
    [end] = [end for record in written(done + commands, events.Record) for end in record.finished]
    assert end.state is JobState.FAILED


def test_no_more_chunks_than_may_run_at_once() -> None:
    led = leader()
    join(led)
    first = sent(array(led, concurrency=1), wire.Assign)
    assert len(first) == 1
    commands = results(led, one(first[0].attempt, 0))
    for now in range(1, 5):
        [chunk] = sent(commands, wire.Assign)
        assert len([chunk for chunk in held_now(led) if chunk.left]) == 1
        indexes = range(work_of(chunk).first, work_of(chunk).first + work_of(chunk).count)
        commands = results(led, *(one(chunk.attempt, index) for index in indexes), now=float(now))


def test_a_take_over_adopts_what_a_chunk_has_left() -> None:
    old = 1 << 32
    led = Leader(term=2, leader_id="s2", known_workers=["w1"], now=0.0, settings=SETTINGS)
    job = events.JobArrived(
        job_id=1,
        tenant="default",
        spec=StoredSpec(array="0-99"),
        module_sha256="m" * 64,
        old=True,
        done=[(0, 10)],
    )
    led.handle(job, 0.0)
    led.begin(0.0)
    held = wire.Held(attempt=old + 5, kind="run", id=1, index=8, count=20, rest=[(9, 19)], phase="running", running=12)
    commands = join(led, held=[held])
    assert holder(led, 1, 10).left == set(range(10, 28))
    given = [work_of(assign) for assign in sent(commands, wire.Assign)]
    assert all(work.first >= 28 for work in given)
    [record] = written(results(led, one(old + 5, 12)), events.Record)
    assert [each.index for each in record.results] == [12]


def test_what_died_with_its_agent_counts_against_the_task_that_ran() -> None:
    led, chunk = chunked()
    held = wire.Held(
        attempt=chunk.attempt, kind="run", id=1, index=1, count=work_of(chunk).count, phase="died", running=7
    )
    commands = join(led, 3.0, worker=replace(info(capacity=FEW), incarnation="2"), held=[held])
    ended = [end for record in written(commands, events.Record) for end in record.ended]
    assert [(end.task.index, end.count) for end in ended if end.crashed] == [(7, 1)]
    assert sorted((end.task.index, end.count) for end in ended if not end.crashed) == [
        (1, 6),
        (8, work_of(chunk).count - 7),
    ]


def test_a_sparse_array_keeps_its_indexes() -> None:
    led = leader()
    join(led, worker=info(capacity=replace(FEW, milli_cpus=9000)))
    spec = StoredSpec(array="3,7,10-11")
    job = events.JobArrived(job_id=1, tenant="default", spec=spec, module_sha256="m" * 64)
    given = sorted(work_of(assign).first for assign in sent(led.handle(job, 0.0), wire.Assign))
    assert given == [3, 7, 10, 11]


def test_where_nobody_knows_which_task_took_its_agent_down_they_go_singly() -> None:
    led, chunk = chunked()
    held = wire.Held(attempt=chunk.attempt, kind="run", id=1, index=1, count=work_of(chunk).count, phase="died")
    commands = join(led, 3.0, worker=replace(info(capacity=FEW), incarnation="2"), held=[held])
    assert not [end for record in written(commands, events.Record) for end in record.ended if end.crashed]
    [again] = sent(commands, wire.Assign)
    assert (work_of(again).first, work_of(again).count) == (1, 1)


def test_what_ended_of_a_stopped_job_is_forgotten_only_once_its_other_end_is_written() -> None:
    led, chunk = chunked()
    commands = led.handle(events.CancelAsked(1), 2.0)
    lost = led.handle(events.Said(wire.Leave(worker_id="w1", incarnation="1")), 3.0)
    join(led, 3.0, worker=info(capacity=FEW))
    late = results(led, one(chunk.attempt, 5), now=3.1)
    assert not sent(late, wire.ResultsAck)
    commit(led, commands)
    commit(led, lost)
    assert sent(results(led, one(chunk.attempt, 5), now=3.2), wire.ResultsAck)


def test_a_chunk_says_how_much_work_it_is_meant_to_be() -> None:
    assert work_of(chunked(100_000)[1]).slice_s == pytest.approx(0.05)
    led = leader()
    join(led, worker=info(capacity=FEW))
    [first] = sent(array(led, 100_000), wire.Assign)
    [second] = sent(results(led, one(first.attempt, 0, took_s=0.005)), wire.Assign)
    assert work_of(second).slice_s == pytest.approx(0.2)
    assert work_of(second).count == pytest.approx(40, abs=1)
