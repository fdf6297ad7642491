"""Chunks across take-overs and limits: each of these was found by the simulator."""

from __future__ import annotations

from msgspec.structs import replace
from tests.protocol.test_agent import agent, assign, hear, said
from tests.protocol.test_chunks import FEW, LOST, array, one, work_of
from tests.protocol.test_leader import (
    SETTINGS,
    SOURCE,
    acked,
    commit,
    holder,
    info,
    join,
    leader,
    results,
    sent,
    written,
)

from wasmgrid.core import wire
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.ranges import Run
from wasmgrid.protocol import agent_events, events
from wasmgrid.protocol.leader import Leader

OLD = 1 << 32  # attempts of term 1


def taken_over(**fields: object) -> Leader:
    """A leader of term 2 that found an array of a hundred, some of it perhaps at w1 and w2."""
    led = Leader(term=2, leader_id="s2", known_workers=["w1", "w2"], now=0.0, settings=SETTINGS)
    spec = StoredSpec(array="0-99", retries=1)
    job = {"job_id": 1, "tenant": "default", "spec": spec, "module_sha256": "m" * 64, "old": True, **fields}
    led.handle(events.JobArrived(**job), 0.0)  # type: ignore[arg-type]
    led.begin(0.0)
    return led


def held(attempt: int, rest: list[Run], *, phase: str = "running", running: int | None = None) -> wire.Held:
    return wire.Held(attempt=attempt, kind="run", id=1, index=0, count=100, rest=rest, phase=phase, running=running)


def test_a_bounded_job_goes_on_after_a_task_of_it_was_lost() -> None:
    led = leader()
    join(led, worker=info(capacity=FEW))
    [given] = sent(array(led, concurrency=1), wire.Assign)
    for _ in range(3):
        crashed = results(led, one(given.attempt, 0, LOST))
        [given] = sent(crashed, wire.Assign)
    assert work_of(given).first == 1


def test_a_later_attempt_at_a_task_that_ended_takes_that_alone_from_its_chunk() -> None:
    led = taken_over()
    join(led, worker=info("w1"), held=[held(OLD + 3, [(4, 6)], running=7)])
    commands = join(led, worker=info("w2"), held=[held(OLD + 9, [(5, 1)])])  # its crash was told to the leader before
    assert not sent(commands, wire.Cancel)
    assert holder(led, 1, 5).attempt == OLD + 9
    assert holder(led, 1, 4).left == {4, 6, 7, 8, 9}
    record = written(results(led, one(OLD + 3, 4)), events.Record)[-1]
    assert [kept.attempt for kept in record.results] == [OLD + 3]


def test_a_later_attempt_at_a_task_that_may_still_begin_stops_its_chunk() -> None:
    led = taken_over()
    join(led, worker=info("w1"), held=[held(OLD + 3, [(4, 6)], running=5)])
    commands = join(led, worker=info("w2"), held=[held(OLD + 9, [(7, 1)])])
    assert [cancel.attempt for cancel in sent(commands, wire.Cancel)] == [OLD + 3]
    assert holder(led, 1, 7).attempt == OLD + 9


def test_an_agent_tells_which_task_runs_by_what_has_ended() -> None:
    worker, given = agent(), assign(1)
    hear(worker, replace(given, work=replace(work_of(given), count=10)))
    worker.handle(agent_events.Advanced(attempt=given.attempt, phase="running", running=0), 1.0)
    worker.handle(agent_events.Ended(results=[one(given.attempt, index) for index in range(3)]), 1.1)
    [beat] = said(worker.handle(agent_events.Tick(), 2.5), wire.Heartbeat)
    assert [(told.running, told.rest) for told in beat.held] == [(3, [(0, 10)])]


def test_results_of_a_chunk_whose_job_is_over_are_all_answered_at_once() -> None:
    led = taken_over()
    join(led)
    strange = [replace(one(OLD + 3, index), job_id=9) for index in range(24)]
    assert acked(results(led, *strange, now=1.0)) == []
    assert len(acked(results(led, *strange, now=30.0))) == 24


def test_a_task_that_is_lost_during_a_take_over_is_not_given_away_after_it() -> None:
    led = taken_over(crashes={0: 2}, done=[(2, 98)])
    join(led, worker=info("w1"), held=[held(OLD + 3, [(0, 1)], phase="finished")])
    commit(led, results(led, one(OLD + 3, 0, LOST)))
    assert [work_of(given).first for given in sent(join(led, worker=info("w2")), wire.Assign)] == [1]


def test_what_an_earlier_leader_stopped_for_a_reason_of_its_own_waits_again() -> None:
    led = taken_over()
    join(led, worker=info("w1"), held=[held(OLD + 3, [(0, 1)], running=0)])
    stopped = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request")
    [record] = written(results(led, one(OLD + 3, 0, stopped)), events.Record)
    assert (record.results, [end.attempt for end in record.ended]) == ([], [OLD + 3])


def test_a_result_of_before_counts_no_more_once_this_leader_tried_the_task_itself() -> None:
    led = taken_over(done=[(1, 99)])
    join(led, worker=info("w2"))
    [given] = sent(join(led, worker=info("w1")), wire.Assign)
    here = holder(led, 1, 0).worker_id
    commit(led, results(led, replace(one(given.attempt, 0, exited(1)), worker_id=here), worker=here))  # it rests
    late = results(led, replace(one(OLD + 3, 0, exited(1)), worker_id="w2"), worker="w2")
    assert not written(late, events.Record)
    assert acked(late) == [OLD + 3]


def test_what_a_leader_that_was_over_gave_of_a_new_job_counts_no_more_once_this_one_tried_it() -> None:
    """It may not know for a while, and give tasks of new jobs, too, to workers that do not know either (seed 24079)."""
    led = taken_over(done=[(1, 99)], old=False)
    join(led, worker=info("w1"))
    given = holder(led, 1, 0)
    results(led, replace(one(given.attempt, 0, exited(1)), worker_id="w1"), worker="w1")  # it rests
    commands = join(led, worker=info("w2"), held=[held(OLD + 3, [(0, 1)], running=0)])
    assert [(each.attempt, each.reason) for each in sent(commands, wire.Cancel)] == [(OLD + 3, "superseded")]
    late = results(led, replace(one(OLD + 3, 0), worker_id="w2"), worker="w2")
    assert not written(late, events.Record)
    assert acked(late) == [OLD + 3]


def test_a_job_gives_up_only_once_any_later_leader_would_find_that_it_has_to() -> None:
    """The record of the failure may be refused, and this leader die before it comes again (seed 26433)."""
    led = leader()
    join(led, worker=info(capacity=FEW))
    [given] = sent(array(led, 100, max_fails=0), wire.Assign)
    failed = results(led, one(given.attempt, 0, exited(1)))
    assert [len(record.results) for record in written(failed, events.Record)] == [1]  # none is cancelled yet,
    assert not sent(failed, wire.Assign)  # and none starts any more
    [write] = [each for each in failed if isinstance(each, events.Write)]
    led.handle(events.WriteFailed(write.token), 1.0)
    again = led.handle(events.Tick(), 1.5)
    assert again == [write]
    [record] = written(commit(led, again), events.Record)
    assert [(each.first, each.count, each.outcome.kind) for each in record.ranges] == [(1, 99, OutcomeKind.CANCELLED)]
    assert [end.state for end in record.finished] == [JobState.FAILED]


def test_a_job_that_is_built_again_keeps_what_other_workers_still_run_of_it() -> None:
    led = taken_over(spec=StoredSpec(array="0-99", source=SOURCE))
    gone = Outcome(kind=OutcomeKind.REJECTED, message="gone")
    join(led, worker=info("w1"), held=[held(OLD + 9, [(4, 1)], phase="finished")])
    asked = results(led, replace(one(OLD + 9, 4, gone), module_missing=True))
    assert "built again" in written(asked, events.Record)[0].ended[0].reason
    commands = join(led, worker=info("w2"), held=[held(OLD + 3, [(5, 2)], running=5)])
    assert [each for each in commands if isinstance(each, events.OpenBuild)]
    assert not sent(commands, wire.Cancel)
    assert holder(led, 1, 5).worker_id == "w2"
    record = written(results(led, replace(one(OLD + 3, 5), worker_id="w2"), worker="w2"), events.Record)[-1]
    assert [kept.index for kept in record.results] == [5]
