"""Workers that come and go: joined by a pasted line from another home, drained, cordoned, timed, revoked."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import guests, programs
from tests.e2e.grid import GONE_S, Grid, running
from tests.e2e.members import Member, member, workers_when
from tests.e2e.test_functions import needs
from tests.processes import shown

from wasmgrid.core.errors import Unreachable, WasmgridError
from wasmgrid.sdk import AsyncClient, Client, calls


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that serves other machines, with TLS; one worker of its own, with simulated GPUs."""
    flags = ["--listen", "127.0.0.1", "--lease", "4s", "--policy", "spread", "--cpus", "1", "--label", "room=cellar"]
    with running(tmp_path_factory.mktemp("pool"), *flags, "--gpu", "H100:81559", "--gpu", "T4:16384") as started:
        started.file("hello.wat", programs.prints("hello\n"))
        yield started


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Member]:
    """Another machine."""
    with member(tmp_path) as made:
        yield made


def credential(pool: Grid, name: str) -> Path:
    """A new credential's file."""
    path = pool.directory / f"{name}.json"
    done = pool.run("credential", "worker", name, "-o", path)
    assert done.returncode == 0, done.stderr.decode()
    return path


def test_a_pasted_line_joins_another_machine(pool: Grid, other: Member) -> None:
    done = pool.run("join-command")
    line = done.stdout.decode().rstrip("\n")
    assert "\n" not in line
    assert b"wasmgrid credential revoke pool1" in done.stderr
    assert re.search(r"--join tls://127\.0\.0\.1:\d+ --credential -$", line)
    other.paste(f"{line} --cpus 1 --label room=attic")
    found = workers_when(pool, lambda there: "pool1" in there)
    assert found["pool1"].labels["room"] == "attic"
    assert found["pool1"].capacity.milli_cpus == 1000
    seed = json.loads(line.partition("'")[2].rpartition("'")[0])["seed"]
    assert seed not in shown()
    ran = pool.run("run", "hello.wat", "--require", "room=attic")
    assert (ran.returncode, ran.stdout) == (0, b"hello\n"), ran.stderr.decode()
    assert ran.stderr.decode().rstrip().endswith("worker pool1")
    assert "worker pool1 has joined" in other.said


def test_several_workers_of_one_credential_and_a_builder(pool: Grid, other: Member) -> None:
    path = credential(pool, "several")
    other.start("worker", "--credential", path, "--cpus", "1", "--gpu", "A100:40960")
    other.start("builder", "--credential", path, "--cpus", "0.5", "--memory-mb", "512")
    names = {"several", "several:2"}
    found = {name: worker for name, worker in workers_when(pool, names.issubset).items() if name in names}
    assert sorted(worker.builds_only for worker in found.values()) == [False, True]
    assert sorted(worker.capacity.gpus for worker in found.values()) == [0, 1]
    shown = pool.text("workers")
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "(only builds)" in shown
    assert "several:2" in pool.text("workers", "--wide")
    elsewhere = other.place.run("worker", "--credential", path, "--id", "pool1")
    assert elsewhere.returncode == 2
    assert "does not cover the id pool1" in elsewhere.stderr.decode()


def test_drain_finishes_what_is_held_and_no_more(pool: Grid, other: Member) -> None:
    pool.file("long.wat", guests.sleeper(12.0))  # two commands begin and end meanwhile, on a busy machine, too
    worker = other.start("worker", "--credential", credential(pool, "leaving"), "--label", "room=hall")
    workers_when(pool, lambda there: "leaving" in there)
    long = int(pool.text("submit", "long.wat", "--require", "room=hall"))
    pool.wait_state(long, "running")
    later = int(pool.text("submit", "hello.wat", "--require", "room=hall", "--queue-timeout", "30s"))
    done = pool.run("drain", "leaving", "--wait")
    assert done.returncode == 0, done.stderr.decode()
    assert f"leaving is draining, finishing job {long}" in done.stderr.decode()
    assert done.stderr.decode().rstrip().endswith("gone: leaving")
    assert worker.wait(GONE_S) == 0
    assert pool.wait_state(long, "succeeded").result is not None
    assert pool.wait_state(later, "queued", "succeeded")
    assert pool.run("drain", "leaving").returncode == 125  # it is not there any more


def test_cordon_why_uncordon(pool: Grid) -> None:
    assert pool.run("cordon", "w1").returncode == 0
    try:
        waiting = pool.text("submit", "hello.wat", "--require", "room=cellar").strip()
        assert "w1 is cordoned · let it go on: wasmgrid uncordon w1" in pool.text("workers")
        said = pool.text("why", waiting)
        assert "cordoned" in said
        assert said.splitlines()[0] in pool.text("status", waiting)  # the same reason stands there
    finally:
        assert pool.run("uncordon", "w1").returncode == 0
    assert pool.run("wait", waiting, timeout_s=60).returncode == 0


def test_a_worker_with_a_time_of_its_own(pool: Grid, other: Member) -> None:
    path = credential(pool, "timed")
    worker = other.start("worker", "--credential", path, "--label", "room=loft", "--until", "10s")
    found = workers_when(pool, lambda there: "timed" in there)
    assert found["timed"].remaining_s is not None
    assert 0 < found["timed"].remaining_s <= 10
    with pool.client() as client:  # a command would take a part of these seconds to start
        long = client.submit(pool.directory / "hello.wat", require={"room": "loft"}, time_limit="1h")
        pool.wait_state(long.id, "queued")  # while its module is looked at, no worker is compared
        assert "timed" in {each.worker_id for each in client.why(long.id).workers}  # it will be gone by then
        assert worker.wait(GONE_S) == 0
        workers_when(pool, lambda there: "timed" not in there)
        client.cancel(long.id)


def test_a_revoked_credential_is_cut_off_and_its_task_goes_elsewhere(pool: Grid, other: Member) -> None:
    pool.file("long.wat", guests.sleeper(2.0))
    path = credential(pool, "untrusted")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other.start("worker", "--credential", path, "--label", "shared=yes", "--memory-mb", "4000")
    workers_when(pool, lambda there: "untrusted" in there)
    job = int(pool.text("submit", "long.wat", "--prefer", "shared=yes", "--require", "os=linux", "--memory-mb", "100"))
    pool.wait_state(job, "running")
    assert pool.run("credential", "revoke", "untrusted").returncode == 0
    workers_when(pool, lambda there: "untrusted" not in there)
    done = pool.wait_state(job, "succeeded")
    assert done.result is not None
    assert done.result.worker_id != "untrusted"
    assert re.search(r"untrusted +worker +revoked", pool.text("credential", "list"))
    time.sleep(1.0)  # it keeps trying
    with pool.client() as client:
        assert "untrusted" not in {worker.id for worker in client.workers()}


def test_gpus_are_matched_by_model_and_memory(pool: Grid) -> None:
    done = pool.run("run", "hello.wat", "--gpus", "1", "--gpu-model", "H100", "--gpu-memory-mb", "40000")
    assert done.stdout == b"hello\n", done.stderr.decode()
    assert "warning: " in done.stderr.decode()
    none = pool.run("submit", "hello.wat", "--gpus", "1", "--gpu-model", "MI300")
    assert "warning: no worker here could ever run this" in none.stderr.decode()
    assert "MI300" in pool.text("why", none.stdout.decode().strip())
    pool.run("cancel", none.stdout.decode().strip())


def test_a_job_that_waits_too_long(pool: Grid) -> None:
    done = pool.run("run", "hello.wat", "--require", "room=nowhere", "--queue-timeout", "300ms")
    assert done.returncode == 124
    assert "allow more: --queue-timeout 1s" in done.stderr.decode()


def test_both_clients_check_whom_they_talk_to(pool: Grid) -> None:
    own = pool.home / "tls" / "ca.pem"

    async def version(ca: Path | None) -> str:
        async with AsyncClient(pool.url, pool.token, ca=ca) as client:
            return (await client.send(calls.version())).version

    with pool.client() as client:
        assert asyncio.run(version(own)) == client.send(calls.version()).version
    with pytest.raises(Unreachable, match="not trusted") as refused:
        asyncio.run(version(None))
    assert "WASMGRID_CA" in (refused.value.hint or "")
    with Client(pool.url, pool.token) as client, pytest.raises(Unreachable, match="not trusted"):
        client.send(calls.version())
    with Client(pool.url.replace("https", "http"), pool.token) as client, pytest.raises(Unreachable) as plain:
        client.send(calls.version())
    assert "https://" in (plain.value.hint or "")


@pytest.mark.parametrize(
    "name", ["..%2Fcredentials", "a%20b", "*", "%3E", "a.b", "w1%2Fdrain", "%2e%2e", "w1:1", "w1:x"]
)
def test_hostile_52_no_action_for_what_is_no_workers_name(pool: Grid, name: str) -> None:
    call = calls.Call(method="POST", path=f"/v1/workers/{name}/drain", decode=lambda body: body)
    with pool.client() as client, pytest.raises(WasmgridError) as refused:
        client.send(call)
    assert refused.value.code in {"invalid_field", "invalid_request", "not_found"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", "*", ">", "a.b", "", "é", "x" * 64, "\x1b[2J"])
def test_hostile_51_no_credential_of_what_is_no_name(pool: Grid, name: str) -> None:
    with pool.client() as client, pytest.raises(WasmgridError) as refused:
        client.send(calls.add_credential(name, "worker", "U" + "A" * 55))
    assert refused.value.code == "invalid_field"


@pytest.mark.parametrize("label", ["a b=c", "a=>", "../a=b"])
def test_hostile_52_no_worker_with_what_is_no_label(pool: Grid, label: str) -> None:
    done = pool.run("worker", "--label", label)
    assert done.returncode == 2
    assert "letters, digits, - and _" in done.stderr.decode()


def test_a_worker_without_toolchains_has_an_interpreter_from_the_store(pool: Grid, other: Member) -> None:
    needs(pool, "js")
    pool.file("hello.js", "console.log('hello');\n")
    path = credential(pool, "bare")
    nothing = str(other.place.home / "toolchains")
    other.start("worker", "--credential", path, "--label", "room=bare", WASMGRID_TOOLCHAINS=nothing)
    workers_when(pool, lambda there: "bare" in there)
    done = pool.run("run", "hello.js", "--require", "room=bare", "--json")
    job = json.loads(done.stdout)
    assert (job["result"]["worker_id"], job["result"]["stdout"]) == ("bare", "hello\n"), done.stderr.decode()
    assert job["result"]["stats"]["precompile_ms"] > 0
