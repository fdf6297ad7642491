"""The pool's commands, at a server that answers as a test says: what is asked, what is told, what to type next."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.cli.main import main
from wasmgrid.core.errors import InvalidField
from wasmgrid.fabric import certificates, credentials
from wasmgrid.home import Home

THERE = {"nats_url": "tls://grid.example:4222", "ca": "-----BEGIN CERTIFICATE-----\nit's\n"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripted]:
    with serving() as found:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", found.url)
        monkeypatch.delenv("WASMGRID_NATS", raising=False)
        monkeypatch.chdir(tmp_path)
        yield found


def answers(**by_call: Any) -> Callable[[Asked], Answer]:
    """`GET_workers={...}` answers GET /v1/workers; what is a list is said one after the other, the last for ever."""

    def respond(asked: Asked) -> Answer:
        name = f"{asked.method}_{asked.target.split('/')[2].partition('?')[0]}"
        found = by_call.get(name, {})
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found if isinstance(found, Answer) else Answer(found)

    return respond


def taken(name: str) -> Answer:
    problem = {"code": "invalid_field", "detail": f"there is a credential {name} already", "field": "name"}
    return Answer(problem, 422, "application/problem+json")


def test_drain_cordon_uncordon(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    worker = {"id": "pool1:2", "state": "draining", "running": ["job 3", "job 4", "job 5", "build 6"]}
    script.respond = answers(POST_workers=worker)
    assert main(["drain", "pool1:2"]) == 0
    assert main(["cordon", "pool1:2", "w1"]) == 0
    assert main(["uncordon", "w1"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "pool1:2 is draining, finishing job 3, job 4, job 5 and 1 more",
        "pool1:2 takes nothing new · let it go on: wasmgrid uncordon pool1:2",
        "w1 takes nothing new · let it go on: wasmgrid uncordon w1",
        "w1 takes tasks again",
    ]
    assert [asked.target.removeprefix("/v1/workers/") for asked in script.asked] == [
        "pool1%3A2/drain", "pool1%3A2/cordon", "w1/cordon", "w1/uncordon",
    ]  # fmt: skip


def test_drain_and_wait(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    busy = {"id": "w1", "state": "draining", "running": ["job 3"]}
    other = {"id": "w2", "state": "joined"}
    there = [{"workers": [busy, other]}, {"workers": [busy | {"running": []}, other]}, {"workers": [other]}]
    script.respond = answers(POST_workers=busy, GET_workers=there)
    assert main(["drain", "w1", "--wait"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "gone: w1"


def test_drain_that_takes_too_long(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    busy = {"id": "w1", "state": "draining", "running": ["job 3"]}
    script.respond = answers(POST_workers=busy, GET_workers={"workers": [busy]})
    assert main(["drain", "w1", "--wait", "--timeout", "1ms"]) == 125
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error[timed_out_waiting]: w1 is still there after 0.001 s: finishing job 3")
    assert said.endswith("wasmgrid cancel 3")


def test_a_worker_that_is_not_there(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"code": "not_found", "detail": "no worker w9", "hint": "list: wasmgrid workers"}
    script.respond = answers(POST_workers=Answer(problem, 404, "application/problem+json"))
    assert main(["cordon", "w9"]) == 125
    assert capsys.readouterr().err == "error[not_found]: no worker w9 · list: wasmgrid workers\n"


NO_IDS = ["../credentials", "a/b", "a b", "*", ">", "a.b", "", "%2e%2e", "é", "\x1b[2J", "x" * 64, "-", "a:1", "a:b"]


@pytest.mark.parametrize("name", NO_IDS)
def test_hostile_52_what_is_no_workers_name_is_not_even_asked(
    script: Scripted, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["cordon"], ["uncordon"], ["drain"], ["credential", "worker"], ["join-command"]):
        assert main([*command, "--", name]) == 2
        said = capsys.readouterr().err
        assert "letters, digits, - and _" in said
        assert "\x1b" not in said
    assert not script.asked


@pytest.mark.parametrize("name", ["..", "../../etc", "a/../b"])
def test_hostile_51_a_credential_is_written_where_its_name_is_a_name(
    script: Scripted, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["credential", "worker", name]) == 2
    assert not script.asked
    assert "is not an id" in capsys.readouterr().err


def test_join_command_is_one_line_with_the_secret_in_a_pipe(
    script: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"credentials": [{"name": "pool1", "kind": "worker", "revoked_at": "2026-01-01T00:00:00Z"}]}
    script.respond = answers(GET_credentials=known, POST_credentials=[taken("pool2"), Answer(THERE, 201)])
    assert main(["join-command"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    before, pipe, command = out.rstrip("\n").partition(" | ")
    assert pipe
    assert command == "wasmgrid worker --join tls://grid.example:4222 --credential -"
    assert before.startswith("printf %s '")
    assert "pool3" in err
    assert "wasmgrid credential revoke pool3" in err
    assert "warning" not in err
    made = _read(before)
    assert (made.name, made.kind, made.nats_url, made.ca) == ("pool3", "worker", THERE["nats_url"], THERE["ca"])
    (last,) = script.asked[-1:]
    assert json.loads(last.body) == {
        "name": "pool3", "kind": "worker", "public_key": credentials.public_key(made.seed),
    }  # fmt: skip
    assert all(made.seed.encode() not in asked.body for asked in script.asked)


def _read(printf: str) -> credentials.Credential:
    """What a shell would hand to the worker."""
    import subprocess

    done = subprocess.run(["sh", "-c", printf], capture_output=True, check=True)
    path = Path("read.json")
    path.write_bytes(done.stdout)
    return credentials.read(path)


def test_join_command_of_a_grid_that_nobody_else_reaches(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    script.respond = answers(POST_credentials=Answer({"nats_url": "nats://127.0.0.1:4222", "ca": None}, 201))
    assert main(["join-command", "cellar"]) == 0
    out, err = capsys.readouterr()
    assert '"name":"cellar"' in out
    assert "warning: nats://127.0.0.1:4222 is reached from this machine alone" in err
    assert "wasmgrid up --listen ADDR" in err


def test_a_credential_goes_into_a_private_file(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    script.respond = answers(POST_credentials=Answer(THERE, 201))
    assert main(["credential", "worker", "pool1"]) == 0
    said = capsys.readouterr()
    path = Path("pool1.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = credentials.read(path)
    assert made.seed not in said.out + said.err
    assert "wasmgrid worker --credential pool1.json" in said.err
    assert main(["credential", "worker", "pool1"]) == 2  # it would be overwritten, and nothing was asked
    assert len(script.asked) == 1
    assert "-o FILE" in capsys.readouterr().err
    assert main(["credential", "server", "second", "-o", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["kind"] == "server"
    assert shown.err == ""


def test_a_credential_that_cannot_be_kept_is_revoked(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    script.respond = answers(POST_credentials=Answer(THERE, 201))
    assert main(["credential", "worker", "pool1", "-o", "no/such/place.json"]) == 125
    assert "cannot be written" in capsys.readouterr().err
    assert [(asked.method, asked.target) for asked in script.asked][1:] == [("DELETE", "/v1/credentials/pool1")]


def test_a_name_that_is_taken(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    script.respond = answers(POST_credentials=taken("pool1"))
    for command in (["join-command", "pool1"], ["credential", "worker", "pool1"]):
        assert main(command) == 2
        assert "there is a credential pool1 already" in capsys.readouterr().err


def test_list_revoke_authorization(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    _, key = credentials.make()
    _, old = credentials.make()
    rows = [
        {"name": "pool1", "kind": "worker", "public_key": key, "created_at": "2026-01-01T00:00:00Z"},
        {"name": "gone", "kind": "worker", "public_key": old, "revoked_at": "2026-01-01T00:00:00Z"},
    ]
    script.respond = answers(GET_credentials={"credentials": rows}, DELETE_credentials=Answer(b"", 204))
    assert main(["credential", "list"]) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["pool1", "worker", "valid"], ["gone", "worker", "revoked"],
    ]  # fmt: skip
    assert main(["credential", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["credentials"][0]["public_key"] == key
    script.respond = answers(
        GET_credentials=Answer(b"users: []\n", kind="text/plain"), DELETE_credentials=Answer(b"", 204)
    )
    assert main(["credential", "authorization"]) == 0
    assert capsys.readouterr().out == "users: []\n"
    assert script.asked[-1].target == "/v1/credentials/authorization"
    assert main(["credential", "revoke", "pool1"]) == 0
    assert "pool1 is revoked" in capsys.readouterr().err


def test_the_files_of_a_cluster(script: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = "127.0.0.1:4301:4401,127.0.0.1:4302:4402,[::1]:4303"
    command = ["cluster", "init", "grid", "--nats", hosts, "--servers", "a.example,b.example"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "wasmgrid cluster authorize grid" in said
    first = credentials.read(tmp_path / "grid/server1/credential.json")
    assert first.nats_url == "tls://127.0.0.1:4301,tls://127.0.0.1:4302,tls://[::1]:4303"
    assert first.kind == "server"
    for path in tmp_path.glob("grid/**/*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ca = (tmp_path / "grid/ca/ca.pem").read_text()
    assert first.ca == ca
    assert (tmp_path / "grid/server2/tls/ca.pem").read_text() == ca
    home = Home(tmp_path / "grid/server1")
    assert certificates.ensure(home, ["a.example", "whatever-this-host-is-called"]).ca_pem == ca
    with pytest.raises(InvalidField, match="is not for b"):
        certificates.ensure(home, ["b.example"])
    assert main([*command[:-1], "a.example,b.example,c.example"]) == 0  # one more: what was there is kept
    assert credentials.read(tmp_path / "grid/server1/credential.json") == first
    assert (tmp_path / "grid/ca/ca.pem").read_text() == ca
    tokens = {path.read_text() for path in tmp_path.glob("grid/server*/token")}
    assert tokens == {(tmp_path / "grid/ca/token").read_text()}
    _, key = credentials.make()
    script.respond = answers(GET_credentials={"credentials": [{"name": "pool1", "kind": "worker", "public_key": key}]})
    assert main(["cluster", "authorize", "grid"]) == 0
    for node in ("nats1", "nats2", "nats3"):
        block = (tmp_path / "grid" / node / "authorization.conf").read_text()
        assert key in block
        assert credentials.public_key(first.seed) in block


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["cluster", "init", "grid", "--nats", "a,a"], "each once"),
        (["cluster", "init", "grid", "--nats", "a:b:c:d"], "not HOST"),
        (["cluster", "init", "grid"], "Missing option '--nats'"),
        (["drain"], "Missing argument"),
        (["run", "x.wat", "--gpu-model", "H100"], "--gpus 1"),
        (["run", "x.wat", "--retry-memory", "x2"], "--retries 3"),
        (["run", "x.wat", "--retry-memory", "x1"], "write x2"),
        (["run", "x.wat", "--retry-memory", "twice"], "write x2"),
        (["run", "x.wat", "--queue-timeout", "soon"], "write 30s"),
    ],
)
def test_what_cannot_be(script: Scripted, command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not script.asked


@pytest.mark.parametrize("factor", ["x2", "2", "2.0"])
def test_a_request_for_gpus_and_time(
    script: Scripted, factor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "no guest can use a GPU yet: 1 is reserved"
    script.respond = lambda _: Answer({"id": 3, "warnings": [warning]}, 201)
    Path("x.wat").write_text("(module)")
    flags = ["--gpus", "1", "--gpu-model", "H100", "--gpu-memory-mb", "40000", "--queue-timeout", "5m"]
    flags += ["--total-timeout", "1h", "--retries", "3", "--retry-memory", factor]
    assert main(["submit", "x.wat", *flags]) == 0
    assert capsys.readouterr().err == f"warning: {warning}\n"
    asked = json.loads(script.asked[0].body)
    expected = {"gpus": 1, "gpu_model": "H100", "gpu_memory_mb": 40000, "queue_timeout_s": 300.0}
    expected |= {"total_timeout_s": 3600.0, "retries": 3, "retry_memory": 2.0}
    assert {key: asked[key] for key in expected} == expected


def test_a_submission_survives_the_first_of_two_servers(
    script: Scripted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WASMGRID_SERVER", f"127.0.0.1:1,{script.url}")
    script.respond = lambda _: Answer({"id": 3}, 201)
    Path("x.wat").write_text("(module)")
    assert main(["submit", "x.wat"]) == 0
    assert capsys.readouterr().out == "3\n"
    assert json.loads(script.asked[0].body)["idempotency_key"]


def test_workers_as_the_server_says_it(script: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    script.respond = answers(GET_workers={"workers": [{"id": "w1", "state": "joined", "brand_new": 1}]})
    assert main(["workers"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["w1", "joined"]
    assert main(["workers", "--wide"]) == 0
    assert capsys.readouterr().out.startswith("w1  joined\n")
    assert main(["workers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"][0]["brand_new"] == 1


def test_a_credential_on_standard_input(
    script: Scripted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stdin:
        buffer = io.BytesIO(b'{"no": "credential"}')

    monkeypatch.setattr("sys.stdin", Stdin)
    assert main(["worker", "--credential", "-"]) == 2
    assert "holds no credential" in capsys.readouterr().err
