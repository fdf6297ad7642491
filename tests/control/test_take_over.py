"""One server leads, then another: what runs goes on, what was said stays, whoever waits hardly notices."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.control.guests import endless, hello, ticks
from tests.control.servers import Pool, Server, until

WAT = '(module (memory (export "memory") 1) (func (export "_start")))'
TICKS = 25  # five seconds: longer than a take-over


STARTED = {"running", "succeeded"}


def test_kill_9_of_the_leader_and_its_job_is_adopted(servers: Pool) -> None:
    leader, follower = servers.both()
    term = leader.get("/v1/grid")["leader"]["term"]
    started = follower.submit(**ticks(TICKS))
    until(lambda: follower.get(f"/v1/jobs/{started['id']}")["state"] == "running", servers.said)
    with ThreadPoolExecutor(3) as threads:
        logs = threads.submit(_log, follower, started["id"])
        events = threads.submit(_states, follower, started["id"])
        waited = threads.submit(follower.finished, started["id"])
        until(lambda: bool(follower.get(f"/v1/jobs/{started['id']}")["started_at"]), servers.said)
        leader.kill()
        meanwhile = follower.submit(wait=60, **hello())
        done = waited.result()
        assert meanwhile["state"] == "succeeded", meanwhile
        assert done["result"]["stdout"] == logs.result() == "tick\n" * TICKS
        assert events.result()[-1] == "succeeded"
    assert follower.leads()
    assert follower.get("/v1/grid")["leader"]["term"] == term + 1
    attempts = follower.get(f"/v1/jobs/{started['id']}/attempts")["attempts"]
    assert [each["outcome"] for each in attempts] == ["exited"]
    assert attempts[0]["attempt"] >> 32 == term, "the attempt of the leader before, adopted"
    assert servers.began(started["id"]) == 1


def test_a_leader_that_was_stopped_and_goes_on_steps_down_and_follows(servers: Pool) -> None:
    leader, follower = servers.both()
    runs = leader.submit(**endless())
    until(lambda: follower.get(f"/v1/jobs/{runs['id']}")["state"] == "running", servers.said)
    assert leader.process is not None
    leader.signal(signal.SIGSTOP)
    try:
        until(follower.leads, servers.said)
        done = follower.submit(wait=60, **hello())
        assert done["state"] == "succeeded", done
    finally:
        leader.signal(signal.SIGCONT)
    shown = leader.get(f"/v1/jobs/{runs['id']}")
    assert shown["state"] == "running", "what it remembers of its own term is not told any more"
    assert leader.get("/v1/grid") == follower.get("/v1/grid") | {"server_id": _id(leader), "leads": False}
    assert leader.submit(wait=60, **hello())["state"] == "succeeded"
    with leader.client() as client:
        client.post(f"/v1/jobs/{runs['id']}/cancel")
    assert leader.finished(runs["id"])["state"] == "cancelled"
    assert servers.began(runs["id"]) == 1
    assert leader.runs


def test_a_leader_that_stops_in_order_hands_over(servers: Pool) -> None:
    leader, follower = servers.both()
    runs = follower.submit(**ticks(10))
    until(lambda: follower.get(f"/v1/jobs/{runs['id']}")["state"] == "running", servers.said)
    leader.signal(signal.SIGTERM)
    assert leader.wait() == 0
    assert follower.finished(runs["id"])["result"]["stdout"] == "tick\n" * 10
    assert follower.leads()
    assert servers.began(runs["id"]) == 1


def test_the_database_goes_away_and_comes_back(servers: Pool) -> None:
    leader, follower = servers.both()
    done = leader.submit(wait=60, **hello())
    runs = follower.submit(**ticks(5))
    servers.postgres.kill()
    try:
        for server in (leader, follower):
            with server.client() as client:
                for answer in (client.get(f"/v1/jobs/{done['id']}"), client.post("/v1/jobs", json=hello())):
                    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
                    assert answer.json()["hint"], answer.text
                assert client.get("/readyz").status_code == 503
    finally:
        servers.postgres.start()
    for server in (leader, follower):
        until(lambda server=server: _ready(server), servers.said)  # type: ignore[misc]
        assert server.get(f"/v1/jobs/{done['id']}")["result"] == done["result"]
        assert server.submit(wait=60, **hello())["state"] == "succeeded"
    assert servers.servers[0].finished(runs["id"])["result"]["stdout"] == "tick\n" * 5
    assert servers.began(runs["id"]) == 1


@pytest.mark.parametrize(
    "moment", ["before a build", "after a module is assigned", "after an assignment", "before a result is committed"]
)
def test_hostile_63_a_server_killed_at_any_step(servers: Pool, moment: str) -> None:
    doomed, follower = servers.both()
    doomed.die_when(moment)
    taken = follower.submit(source={"files": {"a.wat": f"{WAT} ;; {moment}"}}, memory_mb=16)
    assert doomed.wait() == -signal.SIGKILL
    done = follower.finished(taken["id"])
    assert done["state"] == "succeeded", done
    assert follower.leads()
    assert servers.began(taken["id"]) == 1


def test_hostile_62_a_server_killed_after_the_commit_and_before_the_ack(servers: Pool) -> None:
    doomed, follower = servers.both()
    doomed.die_when("after a result is committed")
    taken = follower.submit(**hello())
    assert doomed.wait() == -signal.SIGKILL
    done = follower.finished(taken["id"])
    assert done["state"] == "succeeded", done
    until(follower.leads, servers.said)
    assert follower.submit(wait=60, **hello())["state"] == "succeeded"
    assert follower.get(f"/v1/jobs/{taken['id']}") == done, "what was seen first is what stays"
    assert len(follower.get(f"/v1/jobs/{taken['id']}/attempts")["attempts"]) == 1
    assert servers.began(taken["id"]) == 1


def test_hostile_64_all_servers_killed_while_workers_run(servers: Pool) -> None:
    leader, follower = servers.both()
    runs = [follower.submit(**ticks(8)), leader.submit(**ticks(3))]
    for each in runs:  # one that had begun to fetch its module would wait for a server to send the rest
        until(lambda each=each: follower.get(f"/v1/jobs/{each['id']}")["state"] in STARTED, servers.said)  # type: ignore[misc]
    for server in servers.servers:
        server.kill()
    for each in runs:
        until(lambda each=each: servers.ended(each["id"]), servers.said)  # type: ignore[misc]
    servers.both()
    for each, count in zip(runs, (8, 3), strict=True):
        done = servers.servers[0].finished(each["id"])
        assert done["result"]["stdout"] == "tick\n" * count, done
        assert servers.began(each["id"]) == 1


def _log(server: Server, job_id: int) -> str:
    """What a follower of the job's output is sent, to its end."""
    with server.client() as client, client.stream("GET", f"/v1/jobs/{job_id}/logs") as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data:")]
    assert '"outcome":"exited"' in lines[-1]
    return "tick\n" * sum(line.count("tick") for line in lines)


def _states(server: Server, job_id: int) -> list[str]:
    """The states that the job's events tell of."""
    with server.client() as client, client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        data = [line.removeprefix("data:") for line in answer.iter_lines() if line.startswith("data:")]
    return [str(json.loads(each)["state"]) for each in data]


def _id(server: Server) -> str:
    return str(server.get("/v1/grid")["server_id"])


def _ready(server: Server) -> bool:
    with server.client() as client:
        return client.get("/readyz").status_code == 200
