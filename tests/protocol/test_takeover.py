"""What a leader must not lose, and a new one must know: each of these was found by the simulator."""

from __future__ import annotations

from msgspec.structs import replace
from tests.protocol.test_leader import (
    SETTINGS,
    SOURCE,
    acked,
    arrive,
    commit,
    holder,
    info,
    join,
    leader,
    module_written,
    open_build,
    result,
    results,
    sent,
    written,
)

from wasmgrid.core import wire
from wasmgrid.core.job import BuildResult, StoredSpec, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.protocol import events
from wasmgrid.protocol.leader import Leader

OLD = 1 << 32  # attempts of term 1
LOST = Outcome(kind=OutcomeKind.LOST, message="the runner crashed")


def taken_over(*jobs: events.JobArrived, known: list[str] | None = None) -> Leader:
    """A leader of term 2 that found these jobs."""
    led = Leader(term=2, leader_id="s2", known_workers=known or ["w1", "w2"], now=0.0, settings=SETTINGS)
    for job in jobs:
        led.handle(job, 0.0)
    led.begin(0.0)
    return led


def old_job(job_id: int = 1, *, task_count: int = 1, **fields: object) -> events.JobArrived:
    spec = StoredSpec(retries=2, array=f"0-{task_count - 1}" if task_count > 1 else None)
    given = {"tenant": "default", "module_sha256": "m" * 64, "old": True, **fields}
    return events.JobArrived(job_id=job_id, spec=spec, **given)  # type: ignore[arg-type]


def held(attempt: int, phase: str = "running", gpus: list[int] | None = None) -> wire.Held:
    return wire.Held(attempt=attempt, kind="run", id=1, phase=phase, gpus=gpus or [])


def test_a_worker_is_given_nothing_before_its_row_is_written() -> None:
    """Else a new leader would not wait for it, and run what it holds a second time."""
    led = leader()
    joined = led.handle(events.Said(wire.Inventory(worker=info(), term=1)), 0.0)
    assert not sent(arrive(led), wire.Assign)
    assert sent(commit(led, joined), wire.Assign)


def test_a_known_worker_is_given_tasks_at_once() -> None:
    led = leader(known=["w1"])
    led.handle(events.Said(wire.Inventory(worker=info(), term=1)), 0.0)
    assert sent(arrive(led), wire.Assign)


def test_a_crash_is_answered_only_once_it_is_recorded() -> None:
    """Else the death of the leader would forget a crash that its worker forgot as well."""
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    commands = results(led, result(assign.attempt, outcome=LOST))
    [record] = written(commands, events.Record)
    assert record.ended[0].crashed
    assert not sent(commands, wire.ResultsAck)
    assert not sent(results(led, result(assign.attempt, outcome=LOST)), wire.ResultsAck)  # told again meanwhile
    late = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=1, held=[held(assign.attempt)])
    assert not sent(led.handle(events.Said(late), 1.0), wire.Cancel)
    assert acked(commit(led, commands)) == [assign.attempt]


def test_a_job_is_finished_only_once_all_its_results_are_written() -> None:
    """A write may fail and be asked for again after a later one: the job's end waits for both."""
    led = leader()
    join(led)
    spec = StoredSpec(array="0-1")
    arrived = events.JobArrived(job_id=1, tenant="default", spec=spec, module_sha256="m" * 64)
    first, second = sent(led.handle(arrived, 0.0), wire.Assign)
    early = results(led, result(first.attempt))
    [token] = [one.token for one in early if isinstance(one, events.Write)]
    led.handle(events.WriteFailed(token), 1.0)
    late = results(led, TaskResult(job_id=1, index=1, attempt=second.attempt, worker_id="w1", outcome=exited(0)))
    assert not written(late, events.Record)[0].finished
    assert not [record for record in written(commit(led, late), events.Record) if record.finished]
    again = led.handle(events.Tick(), 2.0)
    [end] = written(commit(led, again), events.Record)
    assert [(one.job_id, one.state) for one in end.finished] == [(1, JobState.SUCCEEDED)]


def test_a_job_whose_results_are_all_there_is_finished_by_the_next_leader() -> None:
    led = leader()
    commands = led.handle(old_job(task_count=2, done=[(0, 2)], failures=1), 0.0)
    [record] = written(commands, events.Record)
    assert [(one.job_id, one.state) for one in record.finished] == [(1, JobState.FAILED)]


def test_what_has_ended_at_a_worker_is_taken_up_though_its_place_is_taken() -> None:
    """A result that waits for its acknowledgement needs no room; the task that runs now in its place does."""
    whole = info().capacity
    led = taken_over(old_job(), events.JobArrived(job_id=2, tenant="default", spec=StoredSpec(), old=True))
    spec = StoredSpec(cpus=whole.milli_cpus / 1000, memory_mb=whole.memory_mb, disk_mb=whole.disk_mb)
    led.handle(
        events.JobArrived(job_id=3, tenant="default", spec=spec, module_sha256="m" * 64, old=True),
        0.0,
    )
    running = wire.Held(attempt=OLD + 9, kind="run", id=3, phase="running")
    commands = join(led, held=[running, held(OLD + 5, "finished")])
    assert not sent(commands, wire.Cancel)
    record = written(results(led, result(OLD + 5)), events.Record)
    assert record[0].results[0].attempt == OLD + 5


def test_of_two_attempts_from_before_the_later_one_counts_also_where_the_earlier_one_had_failed() -> None:
    led = taken_over(old_job())
    join(led, worker=info("w1"), held=[held(OLD + 5, "finished")])
    commands = results(led, result(OLD + 5, outcome=exited(1)), now=0.1)
    assert written(commands, events.Record)[0].ended[0].retried
    join(led, 0.2, worker=info("w2"), held=[held(OLD + 7, "finished")])
    [record] = written(results(led, result(OLD + 7, worker="w2"), worker="w2", now=0.3), events.Record)
    assert record.results[0].attempt == OLD + 7


def test_an_attempt_that_is_recorded_as_over_is_not_counted_again() -> None:
    """The former leader recorded the failure and died before it could say so."""
    led = taken_over(old_job(tries={0: 1}, latest=[(0, 1, OLD + 5)]), known=["w1"])
    commands = join(led, held=[held(OLD + 5, "finished")])
    [assign] = sent(commands, wire.Assign)  # nobody holds anything that counts
    commands = results(led, result(OLD + 5, outcome=exited(1)))
    assert not written(commands, events.Record)
    assert acked(commands) == [OLD + 5]
    assert led.state.jobs[1].known(0).tries == 1
    assert holder(led).attempt == assign.attempt


def test_memory_that_grew_is_remembered_over_a_take_over() -> None:
    spec = StoredSpec(memory_mb=500, retries=3, retry_memory=2.0)
    job = events.JobArrived(
        job_id=1, tenant="default", spec=spec, module_sha256="m" * 64, old=True, tries={0: 2}, latest=[(0, 1, OLD + 5)]
    )
    led = taken_over(job, known=["w1"])
    [assign] = sent(join(led), wire.Assign)
    assert isinstance(assign.work, wire.RunWork)
    assert assign.work.limits.memory_mb == 2000


def test_what_a_worker_holds_without_the_leaders_knowledge_is_stopped() -> None:
    """The word that stopped it was lost; the next heartbeat shows that it still runs."""
    led = leader()
    join(led)
    stray = wire.Held(attempt=77, kind="run", id=9, phase="running")
    beat = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=0, held=[stray])
    [cancel] = sent(led.handle(events.Said(beat), 1.0), wire.Cancel)
    assert (cancel.attempt, cancel.reason) == (77, "superseded")


def test_assignments_are_counted_through_the_whole_term() -> None:
    """A worker that lost its lease and came back must not take the count of its new lease for an old one."""
    led = leader()
    join(led)
    [first] = sent(arrive(led), wire.Assign)
    led.handle(events.Tick(), 11.0)
    led.handle(events.Tick(), 22.0)
    [second] = sent(join(led, 23.0), wire.Assign)
    assert second.seq > first.seq


def test_a_build_that_a_worker_holds_keeps_its_place_until_its_row_is_open() -> None:
    job = events.JobArrived(job_id=1, tenant="default", spec=StoredSpec(source=SOURCE), old=True)
    led = taken_over(job, known=["w1"])
    build = wire.Held(attempt=OLD + 5, kind="build", id=9, phase="running")
    commands = join(led, held=[build])
    opening = next(one for one in commands if isinstance(one, events.OpenBuild))
    assert not sent(commands, wire.Cancel)
    crowd = [one for number in range(2, 6) for one in arrive(led, number, cpus=1.0)]
    assert len(sent(crowd, wire.Assign)) == 1  # one cpu is the build's
    led.handle(events.BuildOpened(build_id=9, build_key=opening.build_key, state="pending"), 0.1)
    built = BuildResult(build_id=9, attempt=OLD + 5, worker_id="w1", outcome=exited(0), module_sha256="c" * 64)
    commands = results(led, builds=[built])
    assert written(commands, events.FinishBuild)[0].result.attempt == OLD + 5
    assert sent(module_written(led, commands), wire.Assign)


def test_hostile_17_an_array_whose_module_is_lost_is_built_again_once_and_loses_nothing() -> None:
    led = leader()
    join(led)
    spec = StoredSpec(source=SOURCE, cpus=1.0, array="0-2")
    job = events.JobArrived(job_id=1, tenant="default", spec=spec, module_sha256="d" * 64)
    first, second = sent(led.handle(job, 0.0), wire.Assign)  # two cpus
    gone = Outcome(kind=OutcomeKind.REJECTED, message="gone")

    def missing(attempt: int, index: int) -> TaskResult:
        return TaskResult(job_id=1, index=index, attempt=attempt, worker_id="w1", outcome=gone, module_missing=True)

    commands = results(led, missing(first.attempt, 0))
    assert not sent(commands, wire.Assign)  # nothing goes out without a module
    [opening] = [one for one in commands if isinstance(one, events.OpenBuild)]
    again = results(led, missing(second.attempt, 1))
    assert not [one for one in again if isinstance(one, events.OpenBuild)]
    assert not [record for record in written(again, events.Record) if record.results]
    opened = events.BuildOpened(build_id=9, build_key=opening.build_key, state="pending")
    [build] = sent(led.handle(opened, 1.0), wire.Assign)
    built = BuildResult(build_id=9, attempt=build.attempt, worker_id="w1", outcome=exited(0), module_sha256="c" * 64)
    commands = module_written(led, results(led, builds=[built]))
    works = [assign.work for assign in sent(commands, wire.Assign)]
    assert [(work.first, work.module_sha256) for work in works if isinstance(work, wire.RunWork)] == [
        (0, "c" * 64),
        (1, "c" * 64),
    ]
    assert holder(led).attempt > first.attempt  # the former attempt is known to be over


def test_what_ended_of_a_job_that_ends_without_its_module_is_forgotten_only_once_that_end_is_written() -> None:
    """Its module was lost, and others still ran tasks of it when it was cancelled (seed 22554)."""
    led = leader()
    join(led)
    spec = StoredSpec(source=SOURCE, cpus=1.0, array="0-2")
    job = events.JobArrived(job_id=1, tenant="default", spec=spec, module_sha256="d" * 64)
    first, second = sent(led.handle(job, 0.0), wire.Assign)  # two cpus
    gone = Outcome(kind=OutcomeKind.REJECTED, message="gone")
    commit(led, results(led, replace(result(first.attempt, outcome=gone), module_missing=True)))
    ending = led.handle(events.CancelAsked(1), 1.0)
    assert [one.state for record in written(ending, events.Record) for one in record.finished] == [JobState.CANCELLED]
    ended = replace(result(second.attempt), index=1)
    assert results(led, ended) == []
    commit(led, ending)
    assert acked(results(led, ended)) == [second.attempt]


def test_a_source_that_comes_again_while_its_failure_is_written_hears_of_it() -> None:
    led = leader()
    join(led)
    [assign] = sent(open_build(led, arrive(led, 1, source=SOURCE)), wire.Assign)
    refused = Outcome(kind=OutcomeKind.BUILD_FAILED, message="error: expected `;`")
    failed = BuildResult(build_id=9, attempt=assign.attempt, worker_id="w1", outcome=refused)
    ending = results(led, builds=[failed])
    assert open_build(led, arrive(led, 2, source=SOURCE)) == []  # the store does not know it yet, and says: pending
    after = commit(led, ending)
    [record] = written(open_build(led, after, state="failed", message="it does not build"), events.Record)
    assert [one.job_id for one in record.finished] == [2]


def test_of_two_workers_with_a_build_from_before_the_higher_attempt_counts() -> None:
    led = taken_over(replace(old_job(module_sha256=None), spec=StoredSpec(source=SOURCE)))
    building = wire.Held(attempt=OLD + 5, kind="build", id=9, phase="running")
    older = wire.Held(attempt=OLD + 3, kind="build", id=9, phase="finished")
    join(led, worker=info("w1"), held=[building])
    opening = join(led, worker=info("w2"), held=[older])
    assert led.state.scheduler.pool.free("w1") != info("w1").capacity
    open_build(led, opening)
    build = holder(led, 9, kind="build")
    assert (build.attempt, build.worker_id) == (OLD + 5, "w1")
    assert led.state.scheduler.pool.free("w2") == info("w2").capacity


def test_a_later_attempt_of_what_is_being_cancelled_takes_nothing() -> None:
    led = taken_over(old_job())
    join(led, worker=info("w1"), held=[held(OLD + 3)])
    led.handle(events.CancelAsked(1), 0.5)
    commands = join(led, worker=info("w2"), held=[held(OLD + 5)])
    assert [cancel.attempt for cancel in sent(commands, wire.Cancel)] == [OLD + 3, OLD + 5]
    [record] = written(commands, events.Record)[-1:]
    assert [one.state for one in record.finished] == [JobState.CANCELLED]
    commit(led, [one for one in commands if isinstance(one, events.Write) and isinstance(one.body, events.Record)])
    assert led.state.scheduler.pool.free("w2") == info("w2").capacity


def test_a_result_of_before_whose_job_is_not_known_yet_is_kept_by_its_worker_for_a_while() -> None:
    led = taken_over()
    join(led)
    assert results(led, result(OLD + 1, 7), now=1.0) == []
    assert results(led, result(OLD + 1, 7), now=3.0) == []
    assert acked(results(led, result(OLD + 1, 7), now=4.5)) == [OLD + 1]
    own = (2 << 32) + 1
    assert sent(results(led, result(own, 7), now=4.5), wire.ResultsAck)  # this leader's own: it knows what it gave


def test_what_ended_before_is_taken_up_though_its_task_was_not_there_to_be_claimed() -> None:
    led = taken_over()
    join(led)
    assert results(led, result(OLD + 3), now=1.0) == []  # kept by its worker: the job may be found yet
    led.handle(old_job(), 2.0)
    [record] = written(results(led, result(OLD + 3), now=2.5), events.Record)
    assert [one.attempt for one in record.results] == [OLD + 3]


def test_what_ended_while_its_job_is_being_cancelled_is_kept_until_that_is_committed() -> None:
    led = taken_over(old_job())
    join(led, worker=info("w1"), held=[held(OLD + 3)])
    led.handle(events.CancelAsked(1), 0.5)
    commands = join(led, worker=info("w2"), held=[held(OLD + 5, phase="finished")])
    assert [cancel.attempt for cancel in sent(commands, wire.Cancel)] == [OLD + 3]
    assert not sent(results(led, result(OLD + 5, worker="w2"), worker="w2", now=0.6), wire.ResultsAck)


def test_a_toolchain_is_chosen_once_all_have_answered_so_that_what_one_builds_from_before_goes_on() -> None:
    """Of those that answer first most may have another one: another build, and an end to that (seed 11072)."""
    led = taken_over(replace(old_job(module_sha256=None), spec=StoredSpec(source=SOURCE)))
    other = replace(info().toolchains[0], identity="rust-2")
    early = join(led, worker=info("w2", toolchains=[other]))
    early += led.handle(events.JobArrived(job_id=2, tenant="default", spec=StoredSpec(source=SOURCE)), 0.5)
    assert not [one for one in early if isinstance(one, events.OpenBuild)]
    building = wire.Held(attempt=OLD + 5, kind="build", id=9, phase="running")
    settled = join(led, 1.0, worker=info("w1"), held=[building])
    assert [one.toolchain for one in settled if isinstance(one, events.OpenBuild)] == [info().toolchains[0].identity]
    assert not sent(settled + open_build(led, settled), wire.Cancel)
    assert holder(led, 9, kind="build").attempt == OLD + 5


def test_a_build_from_before_is_answered_though_its_job_was_cancelled_before_its_row_was_open() -> None:
    """Else its worker kept it for ever (seed 41833)."""
    led = taken_over(replace(old_job(module_sha256=None), spec=StoredSpec(source=SOURCE)), known=["w1"])
    commands = join(led, held=[wire.Held(attempt=OLD + 5, kind="build", id=9, phase="finished")])
    built = BuildResult(build_id=9, attempt=OLD + 5, worker_id="w1", outcome=exited(0), module_sha256="c" * 64)
    assert not acked(results(led, builds=[built]))  # it may be what the job waits for
    led.handle(events.CancelAsked(1), 1.0)
    open_build(led, commands)
    assert acked(results(led, builds=[built])) == [OLD + 5]


def test_a_build_from_before_that_nobody_waits_for_is_stopped_with_those_words() -> None:
    led = taken_over()
    building = wire.Held(attempt=OLD + 5, kind="build", id=9, phase="running")
    assert not sent(join(led, worker=info("w1"), held=[building]), wire.Cancel)
    settled = sent(join(led, worker=info("w2")), wire.Cancel)
    assert [(each.attempt, each.reason) for each in settled] == [(OLD + 5, "nobody waits for it")]
