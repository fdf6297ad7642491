"""One process of a grid of several servers dies or hangs, and what that must look like from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.chaos.evidence import reasons
from tests.chaos.grid import LEASE_S, ChaosGrid
from tests.chaos.parts import wait
from tests.chaos.user import PATIENCE_S, User
from tests.e2e.guests import sleeper
from tests.e2e.programs import prints


def test_a_killed_leader_is_followed_without_a_rerun(pool: ChaosGrid, user: User) -> None:
    job_id, _ = user.hold(3.0, "through a take-over")
    first = user.leader()
    pool.parts[first].kill()
    took_s = wait(lambda: pool.leader() not in {"", first}, "the other one leads", PATIENCE_S)
    print(f"the next one led {took_s:.1f} s after the leader was killed")
    job = user.wait(job_id, "succeeded")
    assert job["result"]["stdout"] == "through a take-over\n" * 2
    assert len(user.starts(job_id)) == 1


def test_hostile_60_a_killed_worker_gives_its_task_to_another(pool: ChaosGrid, user: User) -> None:
    job_id, worker = user.hold(2.0, "again elsewhere")
    pool.parts[worker].kill()
    took_s = wait(lambda: len(user.starts(job_id)) == 2, "the next attempt", PATIENCE_S)
    print(f"the next attempt began {took_s:.1f} s after its worker was killed; the lease is {LEASE_S:g} s")
    user.wait(job_id, "succeeded")
    first, second = user.starts(job_id)
    assert second.worker != first.worker == worker
    assert took_s < LEASE_S + 2.0 + 20.0  # 20 s for a machine that does nine other things


@contextmanager
def commits_of_results_unanswered(pool: ChaosGrid) -> Iterator[Callable[[], bool]]:
    """PostgreSQL commits what holds a result and answers only when the block is left, as if a replica were slow.

    The value says whether somebody waits for such an answer.
    """
    trigger = """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM set_config('synchronous_commit', 'on', true); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER INSERT ON results EXECUTE FUNCTION slow()"""

    def committed() -> bool:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        with pool.database() as database:
            return database.execute(waiting).fetchone() is not None

    with pool.database() as database:
        database.execute(trigger)
        database.execute("ALTER SYSTEM SET synchronous_commit = local")
        database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        database.execute("SELECT pg_reload_conf()")
    try:
        yield committed
    finally:
        with pool.database() as database:
            database.execute("ALTER SYSTEM RESET ALL")
            database.execute("SELECT pg_reload_conf()")
            database.execute("DROP FUNCTION slow CASCADE")


@pytest.mark.parametrize("children", [False, True], ids=["alone", "with its runners"])
def test_hostile_61_a_worker_that_comes_back_too_late_is_not_heard(pool: ChaosGrid, user: User, children: bool) -> None:
    job_id, worker = user.hold(1.0, f"late {children}")
    pool.parts[worker].pause(children=children)
    job = user.wait(job_id, "succeeded")
    first, second = user.starts(job_id)
    assert second.worker != first.worker == worker
    assert job["result"]["attempt"] == second.attempt
    pool.parts[worker].resume()
    wait(lambda: worker in pool.joined(), "the worker is back", PATIENCE_S)
    wait(lambda: user.starts(job_id)[0].ended_at, "it let go of what it held", PATIENCE_S)
    assert user.look(job_id)["result"] == job["result"]
    assert reasons(pool)["run", first.attempt, 0]


def test_hostile_62_a_result_committed_and_not_acknowledged_is_not_run_again(pool: ChaosGrid, user: User) -> None:
    job_id, _ = user.hold(1.0, "committed")
    leader = user.leader()
    with commits_of_results_unanswered(pool) as committed:
        wait(committed, "the result is committed, and the leader not told", PATIENCE_S)
        pool.parts[leader].kill()
    job = user.wait(job_id, "succeeded")
    assert job["result"]["stdout"] == "committed\n" * 2
    wait(lambda: pool.leader() not in {"", leader}, "the other one leads", PATIENCE_S)
    user.wait(user.submit(prints("after that")), "succeeded")
    assert user.look(job_id)["result"] == job["result"]
    assert len(user.starts(job_id)) == 1


def test_hostile_63_a_leader_killed_at_any_state_of_a_job_loses_nothing(pool: ChaosGrid, user: User) -> None:
    """What lies between the last two, a result committed and not acknowledged, is row 62."""
    for state in ("submitted", "running"):
        job_id = user.submit(sleeper(1.0, f"killed when {state}"))
        if state != "submitted":
            user.wait(job_id, state)
        leader = user.leader()
        pool.parts[leader].kill()
        job = user.wait(job_id, "succeeded")
        assert job["result"]["stdout"] == f"killed when {state}\n" * 2
        assert len(user.starts(job_id)) == 1
        pool.restart(leader)
        assert user.look(job_id)["result"] == job["result"]


def test_hostile_64_results_outlive_all_servers(pool: ChaosGrid, user: User) -> None:
    jobs = [user.hold(1.5, f"kept {number}")[0] for number in range(3)]
    for server in pool.servers:
        pool.parts[server].kill()
    for job_id in jobs:
        wait(lambda job_id=job_id: user.starts(job_id)[0].ended_at, "it ended with no server there", PATIENCE_S)  # type: ignore[misc]
    for server in pool.servers:
        pool.restart(server)
    for number, job_id in enumerate(jobs):
        job = user.wait(job_id, "succeeded")
        assert job["result"]["stdout"] == f"kept {number}\n" * 2
        assert len(user.starts(job_id)) == 1


def test_hostile_65_a_fabric_that_dies_as_a_whole_comes_back(pool: ChaosGrid, user: User) -> None:
    job_id, _ = user.hold(1.5, "no fabric")
    for node in pool.nats:
        pool.parts[node].kill()
    for node in pool.nats:
        pool.restart(node)
    assert user.wait(job_id, "succeeded")["result"]["stdout"] == "no fabric\n" * 2
    assert len(user.starts(job_id)) == 1
    wait(lambda: pool.joined() >= {*pool.workers, *pool.builders}, "all workers are back", PATIENCE_S)
    user.wait(user.submit(prints("after it")), "succeeded")


@pytest.mark.parametrize("end", ["kill", "pause"])
def test_hostile_67_one_of_three_nats_is_not_missed(pool: ChaosGrid, user: User, end: str) -> None:
    jobs = [user.hold(1.0, f"one {end} {number}")[0] for number in range(2)]
    part = pool.parts[pool.nats[0]]
    if end == "kill":
        part.kill()
    else:
        part.pause(children=False)
    jobs += [user.submit(prints(f"without it {number}")) for number in range(3)]
    for job_id in jobs:
        user.wait(job_id, "succeeded")
        assert len(user.starts(job_id)) == 1


def test_a_database_that_was_killed_is_waited_for(pool: ChaosGrid, user: User) -> None:
    job_id, _ = user.hold(1.5, "no store")
    pool.parts["postgres"].kill()
    wait(lambda: user.starts(job_id)[0].ended_at, "it ended with no store there", PATIENCE_S)
    pool.restart("postgres")
    assert user.wait(job_id, "succeeded")["result"]["stdout"] == "no store\n" * 2
    assert len(user.starts(job_id)) == 1


def test_hostile_71_a_job_that_kills_every_worker_it_meets_is_lost_and_they_are_back(
    pool: ChaosGrid, user: User
) -> None:
    job_id = user.submit(sleeper(60.0, "killer"))
    killed = 0

    def is_lost() -> bool:
        nonlocal killed
        starts = user.starts(job_id)
        if len(starts) > killed:
            killed = len(starts)
            worker = starts[-1].worker
            pool.parts[worker].kill()
            pool.restart(worker)  # one that is back after its lease only has lost the task, and that is no crash
        return bool(user.look(job_id)["state"] == "failed")

    wait(is_lost, "the job is lost", 3 * PATIENCE_S)
    assert killed >= 3
    assert user.look(job_id)["result"]["outcome"] == "lost"
    wait(lambda: pool.joined() >= set(pool.workers), "the workers are back", PATIENCE_S)
    user.wait(user.submit(prints("they work")), "succeeded")
