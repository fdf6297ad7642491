"""The leader's half, event by event."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from wasmgrid.core import wire
from wasmgrid.core.job import BuildResult, SourceRef, StoredSpec, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.protocol import events, views
from wasmgrid.protocol.chunks import Chunk
from wasmgrid.protocol.leader import Leader
from wasmgrid.protocol.state import Settings

SETTINGS = Settings(lease_s=10.0, heartbeat_s=1.0)
RUST = Toolchain(language="rust", identity="rust-1", version="1.96", ready=True, download_mb=300, install_s=100)
SOURCE = SourceRef(sha256="5" * 64, language="rust", entry="x.rs")

T = TypeVar("T")


def info(worker_id: str = "w1", incarnation: str = "1", **changes: object) -> WorkerInfo:
    fields: dict[str, object] = {
        "id": worker_id,
        "incarnation": incarnation,
        "version": "1",
        "capacity": Resources(milli_cpus=2000, memory_mb=4000, disk_mb=8000, slots=4),
        "toolchains": [RUST],
    }
    return WorkerInfo(**(fields | changes))  # type: ignore[arg-type]


def leader(*, term: int = 1, known: list[str] | None = None) -> Leader:
    led = Leader(term=term, leader_id="s1", known_workers=known or [], now=0.0, settings=SETTINGS)
    led.begin(0.0)
    return led


def join(
    led: Leader,
    now: float = 0.0,
    *,
    worker: WorkerInfo | None = None,
    held: list[wire.Held] | None = None,
    remaining_s: float | None = None,
    modules: list[str] | None = None,
    draining: bool = False,
) -> list[events.Command]:
    """The worker joins, and its row is written."""
    inventory = wire.Inventory(
        worker=worker or info(),
        term=led.state.term,
        held=held or [],
        remaining_s=remaining_s,
        modules=modules or [],
        draining=draining,
    )
    commands = led.handle(events.Said(inventory), now)
    rows = [one for one in commands if isinstance(one, events.Write) and isinstance(one.body, events.SaveWorker)]
    return commands + commit(led, list(rows), now)


def arrive(
    led: Leader, job_id: int = 1, now: float = 0.0, *, old: bool = False, **spec: object
) -> list[events.Command]:
    stored = StoredSpec(**spec)  # type: ignore[arg-type]
    module = None if stored.source else "m" * 64
    return led.handle(
        events.JobArrived(job_id=job_id, tenant="default", spec=stored, module_sha256=module, old=old), now
    )


def results(
    led: Leader, *tasks: TaskResult, builds: list[BuildResult] | None = None, worker: str = "w1", now: float = 1.0
) -> list[events.Command]:
    said = wire.Results(worker_id=worker, incarnation="1", tasks=list(tasks), builds=builds or [])
    return led.handle(events.Said(said), now)


def result(attempt: int, job_id: int = 1, outcome: Outcome | None = None, worker: str = "w1") -> TaskResult:
    return TaskResult(job_id=job_id, index=0, attempt=attempt, worker_id=worker, outcome=outcome or exited(0))


def sent(commands: list[events.Command], kind: type[T]) -> list[T]:
    return [one.message for one in commands if isinstance(one, events.ToWorker) and isinstance(one.message, kind)]


def holder(led: Leader, job_id: int = 1, index: int = 0, *, kind: str = "run") -> Chunk:
    """The attempt that holds this task."""
    [chunk] = [chunk for chunk in led.state.chunks.of(kind, job_id) if index in chunk.left]
    return chunk


def held_now(led: Leader) -> list[Chunk]:
    """Every attempt that a worker holds."""
    return [chunk for lease in led.state.leases.all() for chunk in led.state.chunks.held_by(lease.info.id)]


def acked(commands: list[events.Command]) -> list[int]:
    """The attempts that workers may forget, wholly or in parts."""
    acks = sent(commands, wire.ResultsAck)
    return [attempt for ack in acks for attempt in [*ack.attempts, *(part[0] for part in ack.parts)]]


def written(commands: list[events.Command], kind: type[T]) -> list[T]:
    return [one.body for one in commands if isinstance(one, events.Write) and isinstance(one.body, kind)]


def module_written(led: Leader, commands: list[events.Command], now: float = 1.0) -> list[events.Command]:
    """All of it, and what follows once the store knows which module its jobs run."""
    writes = [one for one in commands if isinstance(one, events.Write) and isinstance(one.body, events.AssignModule)]
    return commands + commit(led, list(writes), now)


def commit(led: Leader, commands: list[events.Command], now: float = 1.0) -> list[events.Command]:
    tokens = [one.token for one in commands if isinstance(one, events.Write)]
    return [after for token in tokens for after in led.handle(events.Written(token), now)]


def test_the_way_of_a_job_and_the_answer_after_the_commit() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    commands = results(led, result(assign.attempt))
    [record] = written(commands, events.Record)
    assert [one.state for one in record.finished] == [JobState.SUCCEEDED]
    assert not sent(commands, wire.ResultsAck)
    after = commit(led, commands)
    assert acked(after) == [assign.attempt]
    assert events.Changed(1, finished=True) in after
    assert not led.state.jobs


def test_a_repeated_result_is_answered_and_not_recorded_again() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    first = results(led, result(assign.attempt))
    assert results(led, result(assign.attempt)) == []  # its commit is under way
    commit(led, first)
    again = results(led, result(assign.attempt))
    assert not written(again, events.Record)
    assert acked(again) == [assign.attempt]


def test_a_failed_write_is_asked_for_again_and_only_then_answered() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    [write] = [one for one in results(led, result(assign.attempt)) if isinstance(one, events.Write)]
    assert led.handle(events.WriteFailed(write.token), 1.0) == []
    again = led.handle(events.Tick(), 1.5)
    assert write in again
    assert sent(commit(led, [write]), wire.ResultsAck)


def test_a_silent_worker_loses_its_tasks_and_its_late_word_is_refused() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    for now in range(1, 11):
        led.handle(events.Tick(), float(now))
    lost = led.handle(events.Tick(), 10.6)
    [record] = written(lost, events.Record)
    assert [(one.attempt, one.crashed) for one in record.ended] == [(assign.attempt, False)]
    join(led, 11.0, worker=info("w2"))
    join(led, 11.0)
    late = results(led, result(assign.attempt), now=11.5)
    assert not written(late, events.Record)
    assert led.state.counters.stale_results == 1


def test_a_leader_that_stood_still_does_not_take_it_for_the_workers_death() -> None:
    led = leader()
    join(led)
    arrive(led)
    led.handle(events.Tick(), 0.5)
    assert not written(led.handle(events.Tick(), 60.0), events.Record)
    assert led.state.leases.get("w1") is not None


def test_an_assignment_that_was_lost_is_sent_again_and_one_that_was_dropped_goes_back() -> None:
    led = leader()
    join(led)
    [assign] = sent(arrive(led), wire.Assign)
    beat = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=0)
    assert sent(led.handle(events.Said(beat), 1.0), wire.Assign) == []
    assert sent(led.handle(events.Said(beat), 3.0), wire.Assign) == [assign]
    seen = wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=assign.seq)
    [again] = sent(led.handle(events.Said(seen), 3.5), wire.Assign)
    assert again.attempt > assign.attempt


def test_take_over_reruns_nothing_that_a_worker_holds() -> None:
    led = Leader(term=2, leader_id="s2", known_workers=["w1"], now=0.0, settings=SETTINGS)
    assert not sent(arrive(led, 1, old=True), wire.Assign)
    assert not sent(arrive(led, 2, old=True), wire.Assign)
    led.begin(0.0)
    held = wire.Held(attempt=(1 << 32) + 7, kind="run", id=1, phase="running", started_at=5.0)
    commands = join(led, 0.1, held=[held])
    assert [assign.work.job_id for assign in sent(commands, wire.Assign) if isinstance(assign.work, wire.RunWork)] == [
        2
    ]
    live = views.live(led.state, 1)
    assert live is not None
    assert live.state is JobState.RUNNING
    assert written(results(led, result(held.attempt)), events.Record)


def test_take_over_dispatches_what_is_new_at_once_and_the_old_after_the_lease() -> None:
    led = Leader(term=2, leader_id="s2", known_workers=["gone"], now=0.0, settings=SETTINGS)
    arrive(led, 1, old=True)
    led.begin(0.0)
    assert not sent(join(led, 0.1), wire.Assign)
    assert sent(arrive(led, 2, now=0.2), wire.Assign)
    late = [led.handle(events.Tick(), tick / 2) for tick in range(1, 21)]
    assert sent(late[-1], wire.Assign)
    assert not any(sent(commands, wire.Assign) for commands in late[:-1])


def test_answers_that_wait_unread_while_the_leader_stands_still_are_not_silence() -> None:
    led = Leader(term=2, leader_id="s2", known_workers=["w1"], now=0.0, settings=SETTINGS)
    arrive(led, 1, old=True)
    led.begin(0.0)
    assert not sent(led.handle(events.Tick(), 60.0), wire.Assign)  # it was stopped for a minute
    running = wire.Held(attempt=(1 << 32) + 1, kind="run", id=1, phase="running")
    assert not sent(join(led, 60.0, held=[running]), wire.Assign)
    assert holder(led).attempt == running.attempt


def test_the_highest_reported_attempt_wins() -> None:
    led = Leader(term=3, leader_id="s3", known_workers=["w1", "w2", "w3"], now=0.0, settings=SETTINGS)
    arrive(led, 1, old=True)
    led.begin(0.0)
    lower = wire.Held(attempt=(1 << 32) + 1, kind="run", id=1, phase="running")
    higher = wire.Held(attempt=(2 << 32) + 1, kind="run", id=1, phase="running")
    join(led, 0.1, worker=info("w1"), held=[lower])
    commands = join(led, 0.2, worker=info("w2"), held=[higher])
    assert [cancel.attempt for cancel in sent(commands, wire.Cancel)] == [lower.attempt]
    assert not written(results(led, result(lower.attempt)), events.Record)


def test_a_task_that_kills_every_runner_is_lost_after_three() -> None:
    led = leader()
    join(led)
    commands = arrive(led)
    crash = Outcome(kind=OutcomeKind.LOST, message="the runner died: SIGSEGV")
    for _ in range(3):
        [assign] = sent(commands, wire.Assign)
        commands = results(led, result(assign.attempt, outcome=crash))
    [record] = [one for one in written(commands, events.Record) if one.finished]
    assert record.results[0].outcome.kind is OutcomeKind.LOST
    assert record.finished[0].state is JobState.FAILED


def test_a_drained_worker_gets_nothing_new() -> None:
    led = leader()
    join(led, draining=True)
    assert not sent(arrive(led), wire.Assign)
    why = views.why(led.state, 1)
    assert why is not None
    assert "draining" in why.workers[0].mismatches[0]


def test_retries_are_the_users_and_traps_get_none() -> None:
    led = leader()
    join(led)
    [first] = sent(arrive(led, retries=1), wire.Assign)
    assert not sent(results(led, result(first.attempt, outcome=exited(3))), wire.Assign)
    [second] = sent(led.handle(events.Tick(), 3.0), wire.Assign)
    assert written(results(led, result(second.attempt, outcome=exited(3))), events.Record)[0].finished
    [trapped] = sent(arrive(led, 2, retries=5), wire.Assign)
    trap = Outcome(kind=OutcomeKind.TRAPPED, trap_kind="unreachable")
    assert written(results(led, result(trapped.attempt, 2, trap)), events.Record)[0].finished


def open_build(led: Leader, commands: list[events.Command], **row: object) -> list[events.Command]:
    [opened] = [one for one in commands if isinstance(one, events.OpenBuild)]
    fields = {"build_id": 9, "build_key": opened.build_key, "state": "pending"} | row
    return led.handle(events.BuildOpened(**fields), 0.0)  # type: ignore[arg-type]


def test_the_same_source_submitted_by_many_is_built_once() -> None:
    led = leader()
    join(led)
    first = arrive(led, 1, source=SOURCE)
    assert not [one for one in arrive(led, 2, source=SOURCE) if isinstance(one, events.OpenBuild)]
    [assign] = sent(open_build(led, first), wire.Assign)
    built = BuildResult(build_id=9, attempt=assign.attempt, worker_id="w1", outcome=exited(0), module_sha256="c" * 64)
    commands = results(led, builds=[built])
    assert not sent(commands, wire.Assign)  # a leader that took over now would not know what they run
    assert len(sent(module_written(led, commands), wire.Assign)) == 2
    assert written(commands, events.AssignModule)[0].job_ids == [1, 2]
    third = arrive(led, 3, source=SOURCE)
    assert written(third, events.AssignModule)[0].cached


def test_hostile_17_a_lost_module_is_built_again_once() -> None:
    led = leader()
    join(led)
    found = open_build(led, arrive(led, source=SOURCE), state="done", module_sha256="d" * 64)
    [assign] = sent(module_written(led, found), wire.Assign)
    missing = replace(result(assign.attempt, outcome=Outcome(kind=OutcomeKind.REJECTED)), module_missing=True)
    commands = results(led, missing)
    assert not [one for one in written(commands, events.Record) if one.results]
    [build] = sent(open_build(led, commands), wire.Assign)
    built = BuildResult(build_id=9, attempt=build.attempt, worker_id="w1", outcome=exited(0), module_sha256="d" * 64)
    [again] = sent(module_written(led, results(led, builds=[built])), wire.Assign)
    gone = replace(missing, attempt=again.attempt)
    assert written(results(led, gone), events.Record)[0].finished[0].state is JobState.FAILED


def test_a_source_that_does_not_build_fails_its_jobs() -> None:
    led = leader()
    join(led)
    [assign] = sent(open_build(led, arrive(led, source=SOURCE)), wire.Assign)
    refused = Outcome(kind=OutcomeKind.BUILD_FAILED, message="error: expected `;`")
    failed = BuildResult(build_id=9, attempt=assign.attempt, worker_id="w1", outcome=refused)
    commands = results(led, builds=[failed])
    [record] = written(commands, events.Record)
    assert record.results[0].outcome == refused
    assert (record.finished[0].state, record.finished[0].build_id) == (JobState.FAILED, 9)


def test_no_install_refuses_and_no_builder_waits() -> None:
    led = leader()
    commands = arrive(led, 1, source=SOURCE)
    assert "no worker has joined" in str(views.why(led.state, 1))
    join(led, worker=info(toolchains=[]))
    assert "can build rust" in str(views.why(led.state, 1))
    missing = Toolchain(language="rust", identity="rust-1", version="1.96", ready=False, download_mb=300, install_s=100)
    commands = arrive(led, 2, source=SOURCE, install=False)
    commands = join(led, worker=info(toolchains=[missing]))
    [record] = written(commands, events.Record)
    assert record.results[0].outcome.kind is OutcomeKind.REJECTED
    assert "wasmgrid toolchain install rust" in str(record.results[0].outcome.message)
    assert [one for one in commands if isinstance(one, events.OpenBuild)]


def test_cancel_before_while_and_after() -> None:
    led = leader()
    commands = arrive(led, 1)
    commands = led.handle(events.CancelAsked(1), 0.0)
    [record] = written(commands, events.Record)
    assert record.finished[0].state is JobState.CANCELLED
    commit(led, commands)
    join(led)
    [assign] = sent(arrive(led, 2), wire.Assign)
    assert [one.attempt for one in sent(led.handle(events.CancelAsked(2), 0.0), wire.Cancel)] == [assign.attempt]
    won = results(led, result(assign.attempt, 2))  # it had finished already
    assert written(won, events.Record)[0].finished[0].state is JobState.SUCCEEDED
    assert led.handle(events.CancelAsked(2), 0.0) == []


def test_a_cancelled_build_that_someone_wants_again_is_built() -> None:
    led = leader()
    join(led)
    [assign] = sent(open_build(led, arrive(led, 1, source=SOURCE)), wire.Assign)
    assert sent(led.handle(events.CancelAsked(1), 0.0), wire.Cancel)
    open_build(led, arrive(led, 2, source=SOURCE))
    stopped = BuildResult(
        build_id=9, attempt=assign.attempt, worker_id="w1", outcome=Outcome(kind=OutcomeKind.CANCELLED)
    )
    assert sent(results(led, builds=[stopped]), wire.Assign)


def test_a_worker_of_another_term_must_say_hello_first() -> None:
    led = leader(term=5)
    stranger = wire.Inventory(worker=info(), term=4)
    [hello] = sent(led.handle(events.Said(stranger), 0.0), wire.Hello)
    assert hello.term == 5
    assert led.state.leases.get("w1") is None


def test_a_build_whose_toolchain_turned_out_another_is_resolved_again() -> None:
    led = leader()
    planned = Toolchain(language="rust", identity="rust-planned", version="1", ready=False)
    join(led, worker=info(toolchains=[planned], capacity=Resources()))
    first = arrive(led, source=SOURCE)
    assert not sent(open_build(led, first), wire.Assign)
    again = join(led, 1.0, worker=info(toolchains=[RUST]))
    [opened] = [one for one in again if isinstance(one, events.OpenBuild)]
    assert opened.toolchain == "rust-1"


def test_build_only_ends_with_its_module_and_runs_nothing() -> None:
    led = leader()
    join(led)
    [build] = sent(open_build(led, arrive(led, source=SOURCE, build_only=True)), wire.Assign)
    built = BuildResult(build_id=9, attempt=build.attempt, worker_id="w1", outcome=exited(0), module_sha256="c" * 64)
    commands = module_written(led, results(led, builds=[built]))
    assert not sent(commands, wire.Assign)
    [record] = written(commands, events.Record)
    assert [(one.job_id, one.state) for one in record.finished] == [(1, JobState.SUCCEEDED)]
