"""Every process is replaced in order, one after the other, while jobs run; cancels meet the end of their jobs."""

from __future__ import annotations

import random
import time

from tests.chaos.grid import ChaosGrid
from tests.chaos.parts import wait
from tests.chaos.records import Json
from tests.chaos.user import PATIENCE_S, User
from tests.e2e.guests import sleeper
from tests.e2e.programs import prints

from wasmgrid.sdk import calls

RACES = 24
BRIEF_S = 0.3


def test_hostile_82_a_rolling_upgrade_loses_and_reruns_nothing(pool: ChaosGrid, user: User) -> None:
    for name in (pool.nats[0], *pool.servers):
        job_id, _ = user.hold(1.0, f"while {name} is upgraded")
        assert pool.parts[name].end() in {0, 1}, pool.parts[name].said()
        queued = user.submit(prints(f"queued while {name} is upgraded"))
        pool.restart(name)
        user.wait(queued, "succeeded")
        assert user.wait(job_id, "succeeded")["result"]["stdout"] == f"while {name} is upgraded\n" * 2
        assert len(user.starts(job_id)) == 1
    for worker in pool.workers[:2]:
        job_id = user.submit(sleeper(0.5, f"while {worker} is upgraded"))
        assert pool.parts[worker].end() == 0, pool.parts[worker].said()
        pool.restart(worker)
        user.wait(job_id, "succeeded")
        wait(lambda worker=worker: worker in pool.joined(), f"{worker} is back", PATIENCE_S)  # type: ignore[misc]


def test_hostile_72_a_cancel_that_meets_the_end_gives_one_outcome(pool: ChaosGrid, user: User) -> None:
    dice = random.Random(72)
    ids = [user.submit(sleeper(BRIEF_S, "raced")) for _ in range(RACES)]
    for job_id in ids:
        time.sleep(dice.uniform(0.0, 0.1))
        user.ask(lambda job_id=job_id: calls.cancel(job_id))  # type: ignore[misc]
    first = {job_id: user.wait(job_id, "succeeded", "cancelled") for job_id in ids}
    for job_id, job in first.items():
        assert len(user.starts(job_id)) <= 1
        assert _end(job) in {
            ("succeeded", "exited", "raced\nraced\n"),
            ("cancelled", "cancelled", job["result"]["stdout"]),
        }
        for server in pool.servers:
            with pool.client(server) as client:
                seen = client.status(job_id)
            assert seen.result is not None
            assert (seen.state, seen.result.outcome, seen.result.stdout) == _end(job)


def _end(job: Json) -> tuple[str, str, str]:
    return job["state"], job["result"]["outcome"], job["result"]["stdout"]
