"""`rerun` with changes: what was not named stays, variables and labels are added, what a request needs is uploaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.cli import jobfile
from wasmgrid.cli.main import main, root
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import JobSpec

OLD = {"args": ["a"], "env": {"A": "1", "B": "1"}, "require": {"arch": "x86_64"}, "prefer": {"room": "cellar"}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripted]:
    """A server with jobs that were asked for as OLD says, and lacks every input."""

    def respond(asked: Asked) -> Answer:
        if asked.method == "POST":
            return Answer({"id": 9, "state": "queued"}, 201)
        if asked.method in {"HEAD", "PUT"}:
            return Answer(b"", 404 if asked.method == "HEAD" else 201)
        return Answer({"id": 5, "state": "succeeded", "finished": True, "spec": OLD})

    with serving() as script:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", script.url)
        monkeypatch.chdir(tmp_path)
        Path("words.txt").write_text("one\ntwo\n")
        script.respond = respond
        yield script


def changes(server: Scripted, *words: str) -> dict[str, Any]:
    """The keys that `rerun 5` asks to be other."""
    assert main(["rerun", "5", "--detach", *words]) == 0
    posted = server.asked[-1]
    assert posted.target == "/v1/jobs/5/rerun"
    found: dict[str, Any] = json.loads(posted.body)
    return found


def test_what_is_not_named_stays_as_it_was(server: Scripted) -> None:
    assert changes(server) == {}
    assert [asked.method for asked in server.asked] == ["POST"]  # nothing is asked that is not needed
    assert changes(server, "--memory-mb", "2000", "--no-install") == {"memory_mb": 2000, "install": False}


def test_variables_and_labels_are_added(server: Scripted) -> None:
    assert changes(server, "-e", "B=2", "-e", "C=3", "--require", "gpu=H100", "--prefer", "room=attic") == {
        "env": {"A": "1", "B": "2", "C": "3"},
        "require": {"arch": "x86_64", "gpu": "H100"},
        "prefer": {"room": "attic"},
    }


def test_arguments_stand_behind_two_dashes(server: Scripted) -> None:
    assert changes(server, "-m", "64", "--", "12", "--memory-mb") == {"memory_mb": 64, "args": ["12", "--memory-mb"]}
    assert changes(server, "--") == {"args": []}


def test_files_are_sent(server: Scripted) -> None:
    text = Path("words.txt").read_bytes()
    digest = sha256_hex(text)
    named = changes(server, "--input", "words.txt:/in/w", "--stdin", "words.txt")
    assert named["stdin"] == text.decode()
    assert [(each["path"], each["sha256"]) for each in named["inputs"]] == [("/in/w", digest)]
    assert [asked.body for asked in server.asked if asked.method == "PUT"] == [text]
    assert changes(server, "--each-line", "words.txt", "--as-args")["lines"] == {"sha256": digest, "use": "args"}
    assert changes(server, "--each-line", "words.txt", "--", "{line}")["lines"]["use"] == "line"


def test_several_are_each_run_again(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rerun", "5-7", "-d", "--cpus", "2"]) == 0
    assert [asked.target for asked in server.asked] == [f"/v1/jobs/{number}/rerun" for number in (5, 6, 7)]
    assert capsys.readouterr().out == "9\n9\n9\n"


def test_every_key_of_a_request_can_be_changed_but_the_program() -> None:
    command = root.get_command(click.Context(root), "rerun")
    assert command is not None
    keys = set(jobfile.keys(command.params))
    assert set(JobSpec.__struct_fields__) - keys == {"source", "module_sha256", "args", "lines", "build_only"}
    assert all(option.default is None or not option.required for option in command.params)
