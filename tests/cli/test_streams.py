"""Streams as they fail: a full disk, a reader that is gone, an encoding without our signs, a closed stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.sdk.scripted import Answer, Scripted, serving

from wasmgrid.cli import exits
from wasmgrid.cli.main import root

WASMGRID = str(Path(sys.executable).with_name("wasmgrid"))
LISTS = [
    "jobs", "status", "wait", "why", "tasks", "workers", "artifacts", "doctor", "version", "prune",
    "toolchain list", "credential list",
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server with many jobs, that takes any."""
    with serving() as script:
        script.respond = lambda asked: (
            Answer({"id": 5, "state": "queued"}, 201)
            if asked.method == "POST"
            else Answer({"jobs": [{"id": number, "name": "n" * 200} for number in range(200)]})
        )
        yield script


def typed(server: Scripted, home: Path, words: str, **settings: str) -> str:
    """A command line for a shell."""
    variables = {"WASMGRID_SERVER": server.url, "WASMGRID_HOME": str(home), **settings}
    return " ".join([*(f"{name}='{value}'" for name, value in variables.items()), WASMGRID, words])


def shell(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60, cwd=home, env=dict(os.environ)
    )


@pytest.mark.parametrize("name", LISTS)
def test_whatever_lists_or_shows_has_three_forms(name: str) -> None:
    command: click.Command | None = root
    for word in name.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    flags = {flag: each for each in command.params for flag in each.opts}
    assert "--json" in flags
    output = flags["--output"]
    assert flags["-o"] is output
    choices = output.type.choices if isinstance(output.type, click.Choice) else str(output.metavar).split("|")[1:]
    assert list(choices) == ["table", "wide", "json"]


def test_of_a_full_disk_a_submission_is_still_told(server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "x.wat").write_text("(module)")
    done = shell(typed(server, tmp_path, "submit x.wat > /dev/full"), tmp_path)
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == "job 5 was submitted"
    assert "No space left on device" in done.stderr


def test_a_reader_that_went_away_is_told_by_the_exit_code_alone(server: Scripted, tmp_path: Path) -> None:
    command = typed(server, tmp_path, "jobs -n 200 -o wide")
    done = shell(f"({command}; echo $? > code) | head -c 1 > /dev/null", tmp_path)
    assert (tmp_path / "code").read_text() in {f"{exits.BROKEN_PIPE}\n", "0\n"}  # 0: all of it fitted the pipe
    assert done.stderr == ""


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_what_nobody_can_be_told_is_in_the_exit_code(stderr: str, server: Scripted, tmp_path: Path) -> None:
    server.respond = lambda _: Answer({"code": "job_not_found", "detail": "no"}, 404, kind="application/problem+json")
    assert shell(typed(server, tmp_path, f"status 9 {stderr}"), tmp_path).returncode == 125


@pytest.mark.parametrize(("encoding", "said"), [("ascii", "a - b"), ("latin-1", "a \\xb7 b"), ("utf-8", "a · b")])
def test_signs_that_an_encoding_lacks_have_plain_ones(encoding: str, said: str, tmp_path: Path) -> None:
    code = "from wasmgrid.cli.main import _prepare_streams; from wasmgrid.cli.terminal import say\n"
    code += "_prepare_streams(); say('a · b…漢')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    shown = done.stderr.decode(encoding)
    expected = said.replace("\\xb7", "\xb7")
    assert shown.rstrip("\n") == expected + ("…漢" if encoding == "utf-8" else "...\\u6f22")
