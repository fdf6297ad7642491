"""The agent's half, event by event."""

from __future__ import annotations

from typing import TypeVar

from tests.protocol.test_leader import info

from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import exited
from wasmgrid.core.resources import Resources
from wasmgrid.protocol import agent_events as protocol
from wasmgrid.protocol.agent import Agent

T = TypeVar("T")

HELLO = wire.Hello(term=2, leader_id="s1", lease_s=10.0, heartbeat_s=1.0)


def agent() -> Agent:
    one = Agent(info(), died=[], now=0.0)
    one.handle(protocol.Heard(HELLO), 0.0)
    return one


def assign(
    attempt: int,
    *,
    job_id: int = 1,
    term: int = 2,
    seq: int | None = None,
    slots: int = 1,
    gpus: list[int] | None = None,
    incarnation: str = "1",
) -> wire.Assign:
    work = wire.RunWork(
        job_id=job_id,
        tenant="default",
        module_sha256="m",
        need=Resources(slots=slots),
        limits=Limits(),
        gpus=gpus or [],
    )
    return wire.Assign(term=term, seq=seq or attempt, attempt=attempt, incarnation=incarnation, work=work)


def hear(
    one: Agent, message: wire.Assign | wire.Cancel | wire.Hello | wire.ResultsAck | wire.DrainWorker, now: float = 0.0
) -> list[protocol.Command]:
    return one.handle(protocol.Heard(message), now)


def said(commands: list[protocol.Command], kind: type[T]) -> list[T]:
    return [one.message for one in commands if isinstance(one, protocol.Say) and isinstance(one.message, kind)]


def ended(attempt: int) -> protocol.Ended:
    return protocol.Ended(TaskResult(job_id=1, index=0, attempt=attempt, worker_id="w1", outcome=exited(0)))


def test_a_result_is_told_until_it_is_answered() -> None:
    one = agent()
    assert [type(command) for command in hear(one, assign(5))] == [protocol.Begin]
    assert len(said(one.handle(ended(5), 1.0), wire.Results)) == 1
    assert not said(one.handle(protocol.Tick(), 2.0), wire.Results)
    assert len(said(one.handle(protocol.Tick(), 3.1), wire.Results)) == 1
    assert hear(one, wire.ResultsAck(attempts=[5], term=2)) == [protocol.Forget(5)]
    assert one.idle


def test_the_same_assignment_twice_begins_once() -> None:
    one = agent()
    hear(one, assign(5))
    assert hear(one, assign(5)) == []


def test_a_higher_attempt_of_the_same_task_stops_the_lower() -> None:
    one = agent()
    hear(one, assign(5))
    commands = hear(one, assign(6))
    assert protocol.Stop(5, protocol.StopReason.SUPERSEDED) in commands
    assert commands[-1] == protocol.Begin(6, assign(6).work)


def test_a_former_leader_is_not_followed() -> None:
    one = agent()
    assert hear(one, assign(5, term=1)) == []
    assert hear(one, wire.Hello(term=1, leader_id="s0", lease_s=1, heartbeat_s=1)) == []
    hear(one, assign(7))
    assert hear(one, wire.Cancel(term=1, attempt=7)) == []


def test_a_new_leader_hears_what_is_held() -> None:
    one = agent()
    hear(one, assign(5))
    hear(one, assign(6, job_id=2))
    one.handle(ended(6), 1.0)
    commands = hear(one, wire.Hello(term=3, leader_id="s2", lease_s=10, heartbeat_s=1), 2.0)
    [inventory] = said(commands, wire.Inventory)
    assert (inventory.term, {held.attempt: held.phase for held in inventory.held}) == (
        3,
        {5: "starting", 6: "finished"},
    )
    assert said(commands, wire.Results)


def test_out_of_reach_past_the_lease_it_stops_its_own_tasks() -> None:
    one = agent()
    hear(one, assign(5))
    one.handle(protocol.Reached(), 3.0)
    assert not one.handle(protocol.Tick(), 12.9) or not one.idle
    commands = one.handle(protocol.Tick(), 13.1)
    assert protocol.Stop(5, protocol.StopReason.LEASE_LAPSED) in commands
    assert one.idle


def test_a_finished_result_survives_the_lease() -> None:
    one = agent()
    hear(one, assign(5))
    one.handle(ended(5), 1.0)
    one.handle(protocol.Tick(), 100.0)
    assert not one.idle


def test_draining_takes_nothing_and_says_so() -> None:
    one = agent()
    [inventory] = said(one.handle(protocol.Drain(), 1.0), wire.Inventory)
    assert inventory.draining
    assert [refused.attempt for refused in said(hear(one, assign(5)), wire.Refused)] == [5]


def test_leaving_gives_back_what_runs() -> None:
    one = agent()
    hear(one, assign(5))
    commands = one.leave()
    assert [refused.attempt for refused in said(commands, wire.Refused)] == [5]
    assert said(commands, wire.Leave)
    assert protocol.Stop(5, protocol.StopReason.SUPERSEDED) in commands


def test_heartbeats_carry_what_is_held_and_progress_is_told_once() -> None:
    one = agent()
    hear(one, assign(5, seq=9))
    one.handle(protocol.Advanced(attempt=5, phase="running", started_at=7.0), 0.5)
    commands = one.handle(protocol.Tick(), 1.0)
    [progress], [beat] = said(commands, wire.Progress), said(commands, wire.Heartbeat)
    assert [held.phase for held in progress.held] == ["running"]
    assert (beat.assigned_seq, [held.attempt for held in beat.held]) == (9, [5])
    assert not said(one.handle(protocol.Tick(), 1.1), wire.Progress)


def test_an_old_leader_cannot_make_a_worker_forget_a_result() -> None:
    one = agent()
    hear(one, assign(5))
    one.handle(ended(5), 1.0)
    hear(one, wire.Hello(term=3, leader_id="s2", lease_s=10, heartbeat_s=1), 1.5)
    assert hear(one, wire.ResultsAck(attempts=[5], term=2)) == []
    assert hear(one, wire.ResultsAck(attempts=[5], term=3)) == [protocol.Forget(5)]


def test_a_worker_takes_no_more_than_it_has_and_no_gpu_twice() -> None:
    one = agent()
    assert hear(one, assign(5, job_id=1, slots=3, gpus=[0]))
    for number, too_much in enumerate((assign(6, job_id=2, slots=2), assign(7, job_id=3, gpus=[1, 0]))):
        commands = hear(one, too_much)
        assert [refused.reason for refused in said(commands, wire.Refused)] == ["its worker is full"], number
    one.handle(ended(5), 1.0)  # what has ended takes nothing, acknowledged or not
    assert isinstance(hear(one, assign(8, job_id=4, slots=4, gpus=[0]))[0], protocol.Begin)


def test_a_later_attempt_of_the_same_task_takes_the_place_of_the_earlier_one() -> None:
    one = agent()
    hear(one, assign(5, slots=4))
    commands = hear(one, assign(6, slots=4))
    assert protocol.Stop(5, protocol.StopReason.SUPERSEDED) in commands
    assert isinstance(commands[-1], protocol.Begin)


def test_a_drained_worker_says_so_and_takes_nothing_more() -> None:
    one = agent()
    hear(one, assign(5))
    assert hear(one, wire.DrainWorker(term=1)) == []
    commands = hear(one, wire.DrainWorker(term=2))
    assert commands[-1] == protocol.DrainAsked()
    assert [inventory.draining for inventory in said(commands, wire.Inventory)] == [True]
    assert hear(one, wire.DrainWorker(term=2)) == []
    assert said(hear(one, assign(6, job_id=2)), wire.Refused)


def test_an_inventory_tells_what_is_cached_and_how_long_the_worker_stays() -> None:
    one = agent()
    assert one.handle(protocol.CacheChanged(("b", "a"), 700), 1.0) == []
    [inventory] = said(one.handle(protocol.Lifetime(60.0), 2.0), wire.Inventory)
    assert (inventory.modules, inventory.cache.bytes, inventory.remaining_s) == (["b", "a"], 700, 60.0)
    [inventory] = said(one.handle(protocol.Reconnected(), 52.0), wire.Inventory)
    assert inventory.remaining_s == 10.0


def test_what_was_given_to_a_former_life_is_nothing_to_the_next() -> None:
    one = agent()
    assert hear(one, assign(5, incarnation="0")) == []
    assert one.idle
