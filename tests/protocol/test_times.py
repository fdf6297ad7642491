"""What time alone does: retries rest, jobs wait only so long, jobs take only so long."""

from __future__ import annotations

from tests.protocol.test_leader import arrive, commit, held_now, info, join, leader, result, results, sent, written

from wasmgrid.core import wire
from wasmgrid.core.job import StoredSpec, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.protocol import events, views
from wasmgrid.protocol.leader import Leader

OUT_OF_MEMORY = Outcome(kind=OutcomeKind.OUT_OF_MEMORY)


def tick(led: Leader, now: float) -> list[events.Command]:
    return led.handle(events.Tick(), now)


def beat(led: Leader, now: float, *, seq: int = 9, held: list[wire.Held] | None = None) -> list[events.Command]:
    said = wire.Heartbeat(worker_id="w1", incarnation="1", term=led.state.term, assigned_seq=seq, held=held or [])
    return led.handle(events.Said(said), now)


def test_retries_rest_twice_as_long_each_time_and_say_so() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, retries=3), wire.Assign)
    now, pauses = 1.0, []
    for tried in (1, 2, 3):
        assert not sent(results(led, result(assign.attempt, outcome=exited(3)), now=now), wire.Assign)
        why = views.why(led.state, 1)
        assert why is not None
        assert why.reason == f"retry {tried} of 3 after exited(3)"
        began = now
        while not (found := sent(tick(led, now), wire.Assign)):
            now += 0.01
            beat(led, now)
        [assign] = found
        pauses.append(now - began)
    assert 0.5 <= pauses[0] <= 1.02
    assert 1.0 <= pauses[1] <= 2.02
    assert 2.0 <= pauses[2] <= 4.02
    [record] = written(results(led, result(assign.attempt, outcome=exited(3)), now=now), events.Record)
    assert [one.state for one in record.finished] == [JobState.FAILED]
    assert led.state.counters.retries == 3


def test_a_leader_wakes_for_a_retry() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, retries=1), wire.Assign)
    assert led.wake_s(1.0) == led.tick_s
    results(led, result(assign.attempt, outcome=exited(1)), now=1.0)
    due = led.state.deadlines.next
    assert due is not None
    assert led.wake_s(due - 0.1) < 0.11


def test_a_cancelled_job_does_not_wait_for_its_retry() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, retries=3), wire.Assign)
    results(led, result(assign.attempt, outcome=exited(3)))
    [record] = written(led.handle(events.CancelAsked(1), 1.1), events.Record)
    assert [one.state for one in record.finished] == [JobState.CANCELLED]
    assert not sent(tick(led, 9.0), wire.Assign)


def test_retry_memory_grows_the_request_the_cap_and_the_reservation() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, retries=5, retry_memory=2.0, memory_mb=1000), wire.Assign)
    grown = []
    for now in (1.0, 10.0):
        beat(led, now, held=[wire.Held(attempt=assign.attempt, kind="run", id=1)])
        results(led, result(assign.attempt, outcome=OUT_OF_MEMORY), now=now)
        beat(led, now + 5)
        [assign] = sent(tick(led, now + 5), wire.Assign)
        assert isinstance(assign.work, wire.RunWork)
        grown.append((assign.work.limits.memory_mb, assign.work.need.memory_mb))
    assert grown == [(2000, 2000), (4000, 4000)]
    # The worker has no 8000 MB: a further try could not end otherwise.
    [record] = written(results(led, result(assign.attempt, outcome=OUT_OF_MEMORY), now=16.0), events.Record)
    assert record.results[0].outcome.kind is OutcomeKind.OUT_OF_MEMORY


def test_a_job_that_nobody_starts_in_time_ends_with_the_reason() -> None:
    led = leader()
    join(led)
    arrive(led, queue_timeout_s=5.0, cpus=64)
    beat(led, 4.9)
    assert not written(tick(led, 4.9), events.Record)
    [record] = written(tick(led, 5.1), events.Record)
    outcome = record.results[0].outcome
    assert outcome.kind is OutcomeKind.TIMED_OUT
    assert outcome.message is not None
    assert "queue_timeout_s" in outcome.message
    assert "needs 64 cpus" in outcome.message
    assert [one.state for one in record.finished] == [JobState.FAILED]


def test_a_job_that_started_in_time_meets_no_queue_timeout() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, queue_timeout_s=5.0), wire.Assign)
    held = [wire.Held(attempt=assign.attempt, kind="run", id=1, phase="running")]
    beat(led, 4.0, held=held)
    assert not sent(tick(led, 6.0), wire.Cancel)
    assert not written(tick(led, 6.0), events.Record)


def test_the_total_timeout_stops_what_runs_and_is_its_outcome() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, total_timeout_s=5.0), wire.Assign)
    beat(led, 4.0, held=[wire.Held(attempt=assign.attempt, kind="run", id=1, phase="running")])
    [cancel] = sent(tick(led, 5.1), wire.Cancel)
    assert cancel.attempt == assign.attempt
    stopped = results(led, result(assign.attempt, outcome=Outcome(kind=OutcomeKind.CANCELLED)), now=5.2)
    [record] = written(stopped, events.Record)
    assert record.results[0].outcome.kind is OutcomeKind.TIMED_OUT
    assert "total_timeout_s" in (record.results[0].outcome.message or "")
    assert [one.state for one in record.finished] == [JobState.FAILED]


def test_a_result_that_beats_the_total_timeout_stands() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led, total_timeout_s=5.0), wire.Assign)
    beat(led, 4.0, held=[wire.Held(attempt=assign.attempt, kind="run", id=1, phase="running")])
    tick(led, 5.1)
    [record] = written(results(led, result(assign.attempt), now=5.2), events.Record)
    assert [one.state for one in record.finished] == [JobState.SUCCEEDED]


def test_the_total_time_counts_from_the_submission_over_a_take_over() -> None:
    led = leader(term=2, known=["w1"])
    spec = StoredSpec(total_timeout_s=60.0)
    led.handle(
        events.JobArrived(job_id=1, tenant="default", spec=spec, module_sha256="m", old=True, age_s=58.0),
        0.0,
    )
    assert not written(tick(led, 1.0), events.Record)
    join(led, 1.5)
    [assign] = sent([*tick(led, 1.6), *_assigned(led)], wire.Assign)
    beat(led, 1.9, held=[wire.Held(attempt=assign.attempt, kind="run", id=1)])
    assert sent(tick(led, 2.1), wire.Cancel)


def _assigned(led: Leader) -> list[events.Command]:
    return [events.ToWorker(task.worker_id, task.assign) for task in held_now(led) if task.assign is not None]


def test_failures_before_a_take_over_are_remembered_at_the_end() -> None:
    led = leader(term=2)
    join(led, worker=info(capacity=Resources(milli_cpus=9000, memory_mb=9000, disk_mb=9000, slots=9)))
    commands = led.handle(
        events.JobArrived(
            job_id=1,
            tenant="default",
            spec=StoredSpec(array="0-1"),
            module_sha256="m",
            old=True,
            done=[(0, 1)],
            failures=1,
        ),
        0.0,
    )
    [assign] = sent(commands, wire.Assign)
    last = results(led, _second(assign.attempt))
    [record] = written(last, events.Record)
    assert [one.state for one in record.finished] == [JobState.FAILED]
    commit(led, last)


def _second(attempt: int) -> TaskResult:
    return TaskResult(job_id=1, index=1, attempt=attempt, worker_id="w1", outcome=exited(0))
