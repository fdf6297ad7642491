"""Cables are cut, one way and both, for a moment and for longer than a lease, and are mended."""

from __future__ import annotations

import time

from tests.chaos.evidence import reasons
from tests.chaos.grid import LEASE_S, ChaosGrid
from tests.chaos.network import Cut
from tests.chaos.parts import wait
from tests.chaos.user import PATIENCE_S, User
from tests.e2e.guests import sleeper
from tests.e2e.programs import prints

MOMENT_S = 1.0
WAYS = [*Cut, Cut.BOTH]
OVERLAP_S = 3.0  # how far apart a leader and a worker may be, on a busy machine, about the same lease


def test_hostile_66_messages_lost_for_a_moment_leave_no_task_stuck_or_doubled(wired: ChaosGrid, user: User) -> None:
    """Real packets, at three steps of a job's way; every single message is the simulator's (tests/simulation)."""
    for step in ("assigned", "running", "handed over"):
        job_id = user.submit(sleeper(0.0 if step == "assigned" else 0.7, step))
        if step != "assigned":
            user.wait(job_id, "running", "succeeded")
        if step == "handed over":
            wait(lambda job_id=job_id: user.starts(job_id)[0].ended_at, "its guest ended", PATIENCE_S)  # type: ignore[misc]
        for worker, way in zip(wired.workers, WAYS, strict=True):
            wired.cut(worker, way)
        wait_for_nothing(MOMENT_S)
        for worker in wired.workers:
            wired.heal(worker)
        job = user.wait(job_id, "succeeded")
        assert job["result"]["stdout"] == f"{step}\n" * 2
        assert len(user.starts(job_id)) == 1


def test_hostile_69_workers_cut_off_give_no_double_result(wired: ChaosGrid, user: User) -> None:
    """Three jobs that fill a worker each, which are cut off in three ways; the fourth takes over what they had."""
    jobs = [user.hold(LEASE_S + 2.0, f"cut {number}", cpus=1.5) for number in range(3)]
    assert len({worker for _, worker in jobs}) == 3
    for (_, worker), way in zip(jobs, Cut, strict=True):
        wired.cut(worker, way)
    for job_id, worker in jobs:
        wait(lambda job_id=job_id: user.starts(job_id)[0].ended_at, "who is cut off stops by itself", PATIENCE_S)  # type: ignore[misc]
        wired.heal(worker)
    for job_id, worker in jobs:
        job = user.wait(job_id, "succeeded")
        first, second = user.starts(job_id)
        assert first.worker == worker
        assert first.ended_at is not None
        assert first.ended_at < second.at + OVERLAP_S
        assert (job["result"]["worker_id"], job["result"]["attempt"]) == (second.worker, second.attempt)
        assert reasons(wired)["run", first.attempt, 0]
        wait(lambda worker=worker: worker in wired.joined(), "it is back", PATIENCE_S)  # type: ignore[misc]
        assert user.look(job_id)["result"] == job["result"]


def test_hostile_69_a_leader_cut_off_is_followed_without_a_rerun(wired: ChaosGrid, user: User) -> None:
    job_id, _ = user.hold(2.0, "its leader is cut off")
    first = user.leader()
    wired.cut(first, Cut.BOTH)
    took_s = wait(lambda: wired.leader() not in {"", first}, "the other one leads", PATIENCE_S)
    print(f"the next one led {took_s:.1f} s after the leader was cut off")
    assert user.wait(job_id, "succeeded")["result"]["stdout"] == "its leader is cut off\n" * 2
    wired.heal(first)
    wait(lambda: wired.ready(first), "it follows", PATIENCE_S)
    user.wait(user.submit(prints("after it was back")), "succeeded")
    assert len(user.starts(job_id)) == 1


def test_servers_that_were_all_cut_off_longer_than_a_lease_rerun_nothing(wired: ChaosGrid, user: User) -> None:
    job_id, _ = user.hold(2 * LEASE_S, "nobody leads")
    for server in wired.servers:
        wired.cut(server, Cut.BOTH)
    wait_for_nothing(1.5 * LEASE_S)
    for server in wired.servers:
        wired.heal(server)
    assert user.wait(job_id, "succeeded")["result"]["stdout"] == "nobody leads\n" * 2
    assert len(user.starts(job_id)) == 1


def test_a_leader_that_reaches_the_store_and_no_fabric_does_not_keep_the_grid(wired: ChaosGrid, user: User) -> None:
    first = user.leader()
    assert wired.network is not None
    wired.network.silence(wired.parts[first].machine, [wired.parts[name].machine for name in wired.nats])
    job_id = user.submit(prints("deaf leader"))
    user.wait(job_id, "succeeded")


def wait_for_nothing(seconds: float) -> None:
    """Let a cut last."""
    time.sleep(seconds)
