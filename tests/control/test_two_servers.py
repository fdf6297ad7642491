"""Two servers, one grid: whichever is asked, the answers are the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
from tests.control.guests import endless, hello, ticks
from tests.control.servers import Pool, until


def test_one_leads_and_both_say_the_same(servers: Pool) -> None:
    leader, follower = servers.both()
    assert leader.get("/readyz")["ok"]
    assert follower.get("/readyz")["ok"]
    assert leader.get("/v1/grid")["leader"] == follower.get("/v1/grid")["leader"]
    assert follower.get("/v1/grid")["leads"] is False
    for path in ("/v1/toolchains", "/v1/credentials", "/v1/join"):
        assert leader.get(path) == follower.get(path)
    mine, theirs = (server.get("/v1/workers")["workers"] for server in (leader, follower))
    assert [each["id"] for each in mine] == [each["id"] for each in theirs] == ["w"]
    assert theirs[0]["capacity"] == mine[0]["capacity"]


def test_a_job_given_to_the_follower_runs_and_is_waited_for_there(servers: Pool) -> None:
    leader, follower = servers.both()
    done = follower.submit(wait=60, **hello())
    assert done["state"] == "succeeded", done
    assert done["result"]["stdout"] == "hello\n"
    assert leader.get(f"/v1/jobs/{done['id']}")["result"] == done["result"]


def test_the_follower_knows_what_runs_why_it_waits_and_cancels(servers: Pool) -> None:
    leader, follower = servers.both()
    job = leader.submit(**endless())
    until(lambda: follower.get(f"/v1/jobs/{job['id']}")["state"] == "running", servers.said)
    assert job["id"] in [each["id"] for each in follower.get("/v1/jobs", state="running")["jobs"]]
    waits = follower.submit(**hello(gpus=7))
    assert any("WASMGRID_GPUS" in each for each in waits["warnings"]), waits["warnings"]
    assert any("gpu" in each and "waits" in each for each in waits["warnings"]), waits["warnings"]
    until(lambda: "gpu" in (follower.get(f"/v1/jobs/{waits['id']}")["state_reason"] or ""), servers.said)
    assert follower.get(f"/v1/jobs/{waits['id']}/why") == leader.get(f"/v1/jobs/{waits['id']}/why")
    with follower.client() as client:
        refused = client.post("/v1/jobs", json=hello(gpus=7, fail_fast=True))
        assert refused.json()["code"] == "unsatisfiable", refused.text
        for each in (job, waits):
            assert client.post(f"/v1/jobs/{each['id']}/cancel").status_code == 200
    for each in (job, waits):
        assert leader.finished(each["id"])["state"] == follower.finished(each["id"])["state"] == "cancelled"


def test_the_follower_shows_what_only_the_leader_knows(servers: Pool) -> None:
    leader, follower = servers.both()
    job = leader.submit(**endless())
    until(lambda: follower.get(f"/v1/jobs/{job['id']}")["state"] == "running", servers.said)
    for server in (leader, follower):
        until(lambda server=server: server.get("/v1/overview")["jobs"]["running"] == 1, servers.said)  # type: ignore[misc]
        seen = server.get("/v1/overview")
        assert seen["workers"]["joined"] == 1
        assert seen["workers"]["cpus"]["used"] > 0
        assert next(each["id"] for each in server.get("/v1/jobs", worker="w")["jobs"]) == job["id"]
        stages = {stage["stage"]: stage["state"] for stage in server.get(f"/v1/jobs/{job['id']}/timeline")["stages"]}
        assert (stages["run"], stages["result"]) == ("active", "pending")
        assert server.get(f"/v1/jobs/{job['id']}/tasks/map")["state"] == ["running"]
    assert leader.get("/v1/overview")["series"]["times"], "a series begins with the first even second"
    leads = []
    for server in (leader, follower):
        with server.client() as client:
            leads.append("\nwasmgrid_leader 1.0\n" in client.get("/metrics").text)
            assert client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    assert leads == [True, False]
    assert follower.finished(job["id"])["state"] == "cancelled"


def test_live_output_comes_through_the_follower(servers: Pool) -> None:
    _, follower = servers.both()
    job = follower.submit(**ticks(5))
    with follower.client() as client, client.stream("GET", f"/v1/jobs/{job['id']}/logs") as answer:
        heard = [line for line in answer.iter_lines() if line.startswith("data:") and "tick" in line]
    assert len(heard) > 1, "as it came, not all at the end"
    assert follower.finished(job["id"])["result"]["stdout"] == "tick\n" * 5


def test_a_worker_is_cordoned_and_uncordoned_through_the_follower(servers: Pool) -> None:
    leader, follower = servers.both()
    with follower.client() as client:
        assert client.post("/v1/workers/w/cordon").json()["state"] == "cordoned"
        assert leader.get("/v1/workers")["workers"][0]["state"] == "cordoned"
        job = follower.submit(**hello())
        assert "cordoned" in str(follower.get(f"/v1/jobs/{job['id']}/why"))
        assert client.post("/v1/workers/w/uncordon").json()["state"] == "joined"
        assert follower.finished(job["id"])["state"] == "succeeded"
        for worker, status in (("nobody", 404), ("a%20b", 422)):
            assert client.post(f"/v1/workers/{worker}/drain").status_code == status


def test_hostile_57_one_key_a_hundred_times_at_once_through_two_servers(servers: Pool) -> None:
    with servers.both()[0].client() as one, servers.both()[1].client() as other, ThreadPoolExecutor(8) as threads:
        body = hello(idempotency_key="through both")
        answers = list(threads.map(lambda n: (one, other)[n % 2].post("/v1/jobs", json=body), range(100)))
        assert {answer.status_code for answer in answers} <= {200, 201}
        assert sum(answer.status_code == 201 for answer in answers) == 1
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert servers.servers[0].finished(answers[0].json()["id"])["state"] == "succeeded"


def test_hostile_58_59_a_key_means_one_request_on_every_server(servers: Pool) -> None:
    leader, follower = servers.both()
    first = leader.submit(wait=60, **hello(idempotency_key="of both"))
    again = follower.submit(wait=60, **hello(idempotency_key="of both"))
    assert again["id"] == first["id"]
    assert again["result"] == first["result"]
    with follower.client() as client:
        other = client.post("/v1/jobs", json=hello(idempotency_key="of both", name="another"))
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


def test_the_sweep_finds_what_no_hint_told(servers: Pool) -> None:
    """A row of a lower number that becomes visible late, and a wish to cancel that nobody passed on."""
    leader, follower = servers.both()
    with psycopg.connect(servers.url) as connection:
        drawn = connection.execute("SELECT nextval(pg_get_serial_sequence('jobs', 'id'))").fetchone()
        assert drawn is not None
        later = follower.submit(wait=60, **hello())
        assert later["id"] > drawn[0]
        names = connection.execute(
            "SELECT string_agg(quote_ident(column_name), ',') FROM information_schema.columns "
            "WHERE table_name = 'jobs' AND column_name NOT IN ('id', 'state', 'started_at', 'finished_at')"
        ).fetchone()
        assert names is not None
        columns = names[0]
        connection.execute(
            f"INSERT INTO jobs (id, state, {columns}) SELECT %s, 'queued', {columns} FROM jobs WHERE id = %s",  # noqa: S608
            (drawn[0], later["id"]),
        )
        connection.commit()
        assert leader.finished(drawn[0])["state"] == "succeeded"
        runs = follower.submit(**endless())
        until(lambda: leader.get(f"/v1/jobs/{runs['id']}")["state"] == "running", servers.said)
        connection.execute("UPDATE jobs SET cancel_requested_at = submitted_at WHERE id = %s", (runs["id"],))
        connection.commit()
        assert follower.finished(runs["id"])["state"] == "cancelled"
