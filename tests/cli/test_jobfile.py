"""Job files: every flag is a key, values are as strict as the flags', what is given beside a file counts before it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.sdk.scripted import Answer, Scripted, serving

from wasmgrid.cli import jobfile
from wasmgrid.cli.main import main, root
from wasmgrid.core.job import JobSpec

NOT_OF_A_JOB = {"json", "server_endpoint"}
NOT_OF_A_PERSON = {"source", "module_sha256", "args", "lines", "build_only"}  # made of others, or of a command


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripted]:
    """A server that takes everything, and a program in `here/`."""
    with serving() as script:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", script.url)
        monkeypatch.chdir(tmp_path)
        script.respond = lambda _: Answer({"id": 5, "state": "queued"}, 201)
        Path("here").mkdir()
        Path("here/main.c").write_text("int main(void) { return 0; }")
        Path("here/words.txt").write_text("one\ntwo\n")
        yield script


def written(text: str) -> str:
    path = Path("here/job.toml")
    path.write_text(text)
    return str(path)


def submitted(server: Scripted, *words: str) -> dict[str, Any]:
    """The request that `submit` sends."""
    assert main(["submit", *words]) == 0
    posted = next(asked for asked in reversed(server.asked) if asked.method == "POST")
    body = posted.body
    if posted.headers["Content-Type"].startswith("multipart/"):
        body = body.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0]
    found: dict[str, Any] = json.loads(body)
    return found


def command(name: str) -> click.Command:
    found = root.get_command(click.Context(root), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["run", "submit"])
def test_every_flag_is_a_key_and_every_field_of_a_request_has_one(name: str) -> None:
    options = [each for each in command(name).params if isinstance(each, click.Option)]
    keys = jobfile.keys(options)
    flags = {flag[2:].replace("-", "_") for each in options for flag in each.opts if flag.startswith("--")}
    assert flags - set(keys) == NOT_OF_A_JOB | ({"quiet", "detach"} if name == "run" else set())
    assert set(JobSpec.__struct_fields__) - set(keys) == NOT_OF_A_PERSON


def test_everything_can_stand_in_a_file(server: Scripted) -> None:
    file = written("""
        source = "main.c"
        name = "sweep"
        args = ["--frame", "{index}", 3]
        stdin = "words.txt"
        inputs = ["words.txt", "words.txt:/data/w:rw"]
        cpus = 0.5
        memory_mb = 64
        time_limit = "1m30s"
        output_limit = "1M"
        array = "0-9"
        retries = 2
        retry_memory = "x2"
        build_flags = ["-O2"]
        install = false
        fail_fast = true

        [env]
        MODE = "fast"
        N = 3

        [require]
        arch = "arm64"
    """)
    sent = submitted(server, file)
    files = sent.pop("source")
    assert files["build_flags"] == ["-O2"]
    assert [one["path"] for one in sent.pop("inputs")] == ["/in/words.txt", "/data/w"]
    del sent["idempotency_key"]
    defaults = {key: value for key, value in sent.items() if value in (None, "", 0, {}, [])}
    assert sent == defaults | {
        "name": "sweep", "args": ["--frame", "{index}", "3"], "stdin": "one\ntwo\n", "cpus": 0.5, "memory_mb": 64,
        "time_limit_s": 90.0, "output_limit_bytes": 1 << 20, "array": "0-9", "retries": 2, "retry_memory": 2.0,
        "install": False, "fail_fast": True, "env": {"MODE": "fast", "N": "3"}, "require": {"arch": "arm64"},
    }  # fmt: skip


def test_what_is_given_beside_a_file_counts_before_it(server: Scripted) -> None:
    file = written(
        'source = "main.c"\nmemory_mb = 64\nargs = ["a"]\neach_line = "words.txt"\nenv = { A = "1", B = "1" }\n'
    )
    sent = submitted(server, file, "-m", "1000", "-e", "B=2", "-e", "C=3")
    assert (sent.get("memory_mb", 1000), sent["env"]) == (1000, {"A": "1", "B": "2", "C": "3"})
    assert sent["args"] == ["a"]
    Path("other.json").write_text("[1, 2, 3]")
    assert submitted(server, file, "--from-json", "other.json")["lines"] != sent["lines"]
    assert submitted(server, file, "--", "b", "c")["args"] == ["b", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('source = "main.c"\n\nmemory = 3', "here/job.toml:3: there is no key 'memory' · did you mean memory_mb?"),
        ('source = "main.c"\nzzz = 3', "here/job.toml:2: there is no key 'zzz' · all keys are the flags of"),
        ('source = "main.c"\nmemory_mb = "lots"', "here/job.toml:2: memory_mb is a whole number, not text"),
        ('source = "main.c"\nmemory_mb = true', "memory_mb is a whole number, not true or false"),
        ('source = "main.c"\ncpus = "1"', "cpus is a number, not text"),
        ('source = "main.c"\nisolate = 1', "isolate is true or false, not a number"),
        ('source = "main.c"\nname = ["a"]', "name is text in quotes, not a list"),
        ('source = "main.c"\ninputs = "words.txt"', 'inputs is a list: ["one", "two"], not text'),
        ('source = "main.c"\ninputs = ["gone"]', "here/job.toml:2: inputs: there is no 'here/gone'"),
        ('source = "main.c"\ntime_limit = "soon"', "here/job.toml:2: time_limit: 'soon' is not a duration"),
        ('source = "main.c"\n[env]\nA = ["x"]', "here/job.toml:3: env.A is text in quotes, not a list"),
        ('source = "main.c"\nname = "a"\njob_name = "b"', "here/job.toml:3: job_name is name, which is there, too"),
        ('source = "main.c"\ndeadline = 2026-01-01', "there is no key 'deadline'"),
        ('source = "gone.c"', "here/job.toml:1: there is no here/gone.c · a path is relative to the job file"),
        ('source = "main.c"\nmodule = "x.wasm"', "is both source and module"),
        ("name = 'x'", "names no program"),
        ('source = ""', "here/job.toml:1: source is empty"),
        ("name = " + "[" * 5000 + "]" * 5000, "nests its values too deep"),
        ("name = x", "is no TOML: Invalid value (at line 1, column 8)"),
        ('source = "main.c"\noutput_overflow = "drop"', "output_overflow: 'drop' is not one of 'stop', 'truncate'"),
    ],
)  # fmt: skip
def test_what_a_file_gets_wrong_is_said_with_its_line(
    server: Scripted, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", written(text)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not server.asked


def test_a_cargo_manifest_is_no_job_file(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    Path("here/Cargo.toml").write_text('[package]\nname = "x"\n')
    assert main(["run", "here/Cargo.toml"]) == 2
    assert "run its directory: wasmgrid run here" in capsys.readouterr().err


def test_a_module_by_its_digest(server: Scripted) -> None:
    assert submitted(server, written(f'module = "{"ab" * 32}"'))["module_sha256"] == "ab" * 32


def test_every_key_is_documented_once() -> None:
    page = (Path(__file__).parents[2] / "docs" / "job-files.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    keys = jobfile.keys(command("submit").params)
    assert documented[:3] == [*jobfile.PROGRAM, jobfile.ARGUMENTS]
    assert sorted(str(keys[key].name) for key in documented[3:]) == sorted({str(each.name) for each in keys.values()})
