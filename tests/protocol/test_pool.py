"""Workers as a leader sees them: held back, drained, mistrusted, with GPUs and a time to leave."""

from __future__ import annotations

import pytest
from tests.protocol.test_leader import (
    SETTINGS,
    arrive,
    commit,
    held_now,
    info,
    join,
    leader,
    result,
    results,
    sent,
    written,
)

from wasmgrid.core import wire
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Gpu, WorkerInfo, WorkerView
from wasmgrid.protocol import events, views
from wasmgrid.protocol.leader import Leader

LOST = Outcome(kind=OutcomeKind.LOST, message="the runner crashed")


def with_gpus(worker_id: str = "w1", count: int = 2) -> WorkerInfo:
    capacity = Resources(milli_cpus=4000, memory_mb=8000, disk_mb=8000, gpus=count, slots=8)
    gpus = [Gpu(index=index, model="NVIDIA H100 80GB", memory_mb=80000, simulated=True) for index in range(count)]
    return info(worker_id, capacity=capacity, gpus=gpus)


def view(led: Leader, worker_id: str = "w1") -> WorkerView:
    [found] = [one for one in views.workers(led.state, 1.0) if one.id == worker_id]
    return found


def ask(led: Leader, action: str, worker_id: str = "w1", now: float = 1.0) -> list[events.Command]:
    return led.handle(events.WorkerAsked(worker_id, action), now)


def test_a_cordoned_worker_takes_nothing_new_until_it_is_uncordoned() -> None:
    led = leader()
    join(led)
    [saved] = written(ask(led, "cordon"), events.SaveWorker)
    assert (saved.state, saved.hold) == ("joined", "cordoned")
    assert not sent(arrive(led), wire.Assign)
    assert view(led).state == "cordoned"
    why = views.why(led.state, 1)
    assert why is not None
    assert "cordoned" in why.workers[0].mismatches[0]
    assert sent(ask(led, "uncordon"), wire.Assign)
    assert view(led).state == "joined"


def test_a_hold_outlives_the_worker_and_the_leader() -> None:
    led = leader()
    join(led)
    ask(led, "cordon")
    led.handle(events.Said(wire.Leave(worker_id="w1", incarnation="1")), 2.0)
    join(led, 3.0, worker=info(incarnation="2"))
    assert view(led).state == "cordoned"
    after = Leader(term=2, leader_id="s2", known_workers=[], holds={"w1": ("cordoned", "")}, now=0.0, settings=SETTINGS)
    after.begin(0.0)
    join(after)
    assert not sent(arrive(after), wire.Assign)


def test_a_write_of_a_worker_that_failed_does_not_come_after_a_newer_one() -> None:
    """Else the row says for ever what was true before: here, that nobody cordoned it (seed 49597)."""
    led = leader()
    join(led)
    [before] = [each for each in ask(led, "uncordon") if isinstance(each, events.Write)]
    [after] = [each for each in ask(led, "cordon") if isinstance(each, events.Write)]
    led.handle(events.WriteFailed(before.token), 1.1)
    led.handle(events.WriteFailed(after.token), 1.1)
    assert led.handle(events.Tick(), 1.5) == [after]


def test_a_drain_is_told_until_the_worker_says_that_it_drains() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    assert sent(ask(led, "drain"), wire.DrainWorker)
    assert not sent(arrive(led, 2), wire.Assign)
    held = [wire.Held(attempt=assign.attempt, kind="run", id=1, phase="running")]
    beat = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=1, held=held)
    assert sent(led.handle(events.Said(beat), 2.0), wire.DrainWorker)
    led.handle(events.Said(wire.Inventory(worker=info(), term=1, draining=True, held=held)), 2.1)
    assert not sent(led.handle(events.Said(beat), 3.0), wire.DrainWorker)
    assert view(led).state == "draining"
    last = results(led, result(assign.attempt), now=3.0)
    assert written(last, events.Record)
    commit(led, last)


def test_what_is_asked_of_a_worker_that_is_not_there_changes_nothing() -> None:
    assert ask(leader(), "drain", "w9") == []


def test_a_worker_that_fails_what_succeeds_elsewhere_is_quarantined() -> None:
    led = leader()
    join(led, worker=info(labels={"fast": "yes"}))
    join(led, worker=info("w2"))
    saved: list[events.SaveWorker] = []
    for job_id in range(1, 12):
        commands = arrive(led, job_id, prefer={"fast": "yes"})
        while view(led).state == "joined":
            [assign] = sent(commands, wire.Assign)
            [worker_id] = [chunk.worker_id for chunk in held_now(led) if chunk.attempt == assign.attempt]
            outcome = LOST if worker_id == "w1" else exited(0)
            commands = results(led, result(assign.attempt, job_id, outcome, worker_id), worker=worker_id)
            saved += written(commands, events.SaveWorker)
            if worker_id == "w2":
                commit(led, commands)
                break
    assert [(one.info.id, one.hold) for one in saved] == [("w1", "quarantined")]
    assert "succeeded elsewhere" in view(led).note
    assert view(led, "w2").state == "joined"
    ask(led, "uncordon")
    assert view(led).state == "joined"


def test_hostile_47_a_task_whose_runner_crashed_goes_elsewhere() -> None:
    led = leader()
    join(led)
    join(led, worker=info("w2"))
    [first] = sent(arrive(led), wire.Assign)
    [was_at] = [chunk.worker_id for chunk in held_now(led)]
    assert sent(results(led, result(first.attempt, outcome=LOST, worker=was_at), worker=was_at), wire.Assign)
    assert [chunk.worker_id for chunk in held_now(led)] == [({"w1", "w2"} - {was_at}).pop()]


def test_a_job_that_fails_everywhere_is_nobodys_fault() -> None:
    led = leader()
    join(led)
    join(led, worker=info("w2"))
    for job_id in range(1, 8):
        commands = arrive(led, job_id)
        for _ in range(SETTINGS.crash_limit):
            [assign] = sent(commands, wire.Assign)
            [task] = [chunk for chunk in held_now(led) if chunk.attempt == assign.attempt]
            crashed = result(assign.attempt, job_id, LOST, task.worker_id)
            commands = results(led, crashed, worker=task.worker_id)
        commit(led, commands)
    assert {one.state for one in views.workers(led.state, 1.0)} == {"joined"}


def test_gpus_are_assigned_by_index_and_told_to_the_worker() -> None:
    led = leader()
    join(led, worker=with_gpus())
    given = [sent(arrive(led, job_id, gpus=1, gpu_model="H100"), wire.Assign) for job_id in (1, 2, 3)]
    indexes = [one[0].work.gpus for one in given if one and isinstance(one[0].work, wire.RunWork)]
    assert sorted(indexes) == [[0], [1]]
    assert view(led).gpus_used == [0, 1]
    first = given[0][0]
    [third] = sent(results(led, result(first.attempt)), wire.Assign)
    assert isinstance(third.work, wire.RunWork)
    assert third.work.gpus == indexes[0]


def test_gpus_stay_with_what_a_worker_holds_over_a_take_over() -> None:
    led = leader(term=2, known=["w1"])
    arrive(led, 1, old=True, gpus=1)
    held = wire.Held(attempt=(1 << 32) + 1, kind="run", id=1, phase="running", gpus=[1])
    join(led, worker=with_gpus(), held=[held])
    [assign] = sent(arrive(led, 2, gpus=1), wire.Assign)
    assert isinstance(assign.work, wire.RunWork)
    assert assign.work.gpus == [0]


def test_a_worker_that_refused_gets_nothing_more_until_its_next_word() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    refused = wire.Refused(worker_id="w1", attempt=assign.attempt, reason="its worker is full")
    assert not sent(led.handle(events.Said(refused), 1.0), wire.Assign)
    beat = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=1)
    assert sent(led.handle(events.Said(beat), 2.0), wire.Assign)


@pytest.mark.parametrize(("remaining_s", "fits"), [(30.0, False), (90.0, True)])
def test_a_worker_that_leaves_soon_takes_only_what_ends_before(remaining_s: float, fits: bool) -> None:
    led = leader()
    join(led, remaining_s=remaining_s)
    assert bool(sent(arrive(led, time_limit_s=60.0), wire.Assign)) is fits
    assert view(led).remaining_s == remaining_s - 1.0 or not fits


def test_a_task_goes_where_its_module_is_ready() -> None:
    led = leader()
    join(led, worker=info("w1"))
    join(led, worker=info("w2"), modules=["m" * 64])
    arrive(led)
    assert [chunk.worker_id for chunk in held_now(led)] == ["w2"]


def test_a_warning_at_submission_names_a_worker_that_leaves_too_soon() -> None:
    led = leader()
    led.handle(events.Said(wire.Inventory(worker=info(), term=1, remaining_s=30.0)), 0.0)
    [warning] = views.submission_warnings(led.state, StoredSpec(time_limit_s=60.0))
    assert "w1: may run for" in warning
    assert views.submission_warnings(led.state, StoredSpec(time_limit_s=20.0)) == []
