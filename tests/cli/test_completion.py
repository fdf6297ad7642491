"""Completion as a shell asks for it: quick, silent, and without a server too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sdk.scripted import Answer, Scripted, serving

from wasmgrid.cli.commands import COMMANDS

WASMGRID = Path(sys.executable).with_name("wasmgrid")


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server with two jobs and a worker."""
    with serving() as script:
        script.respond = lambda asked: Answer(
            {"workers": [{"id": "w1", "state": "joined"}]}
            if asked.target.startswith("/v1/workers")
            else {"jobs": [{"id": 21, "state": "running", "name": "sweep"}, {"id": 12, "state": "failed"}]}
        )
        yield script


def asked(words: str, *, server: str, home: Path) -> subprocess.CompletedProcess[str]:
    """What the completion of bash asks, where the cursor stands behind `words`."""
    typed = words.split(" ")
    variables = {
        **os.environ, "_WASMGRID_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1),
        "WASMGRID_SERVER": server, "WASMGRID_HOME": str(home),
    }  # fmt: skip
    return subprocess.run([WASMGRID], env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("wasmgrid sta", ["status"]),
        ("wasmgrid status ", ["last", "21", "12"]),
        ("wasmgrid cancel 12,2", ["12,21"]),
        ("wasmgrid logs 12-2", ["12-21"]),
        ("wasmgrid drain ", ["w1"]),
        ("wasmgrid run --langu", ["--language"]),
        ("wasmgrid run --language zi", ["zig"]),
        ("wasmgrid jobs --state ca", ["cancelled"]),
        ("wasmgrid jobs -o ", ["table", "wide", "json"]),
        ("wasmgrid toolchain in", ["install"]),
        ("wasmgrid nonsense x", []),
    ],
)
def test_what_is_offered(words: str, offered: list[str], server: Scripted, tmp_path: Path) -> None:
    done = asked(words, server=server.url, home=tmp_path)
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == offered
    assert done.stderr == ""


@pytest.mark.parametrize("words", ["wasmgrid run ", "wasmgrid run --stdin ", "wasmgrid dev "])
def test_files_are_the_shells_affair(words: str, server: Scripted, tmp_path: Path) -> None:
    assert asked(words, server=server.url, home=tmp_path).stdout.splitlines() == ["file,"]


@pytest.mark.parametrize("away", ["127.0.0.1:1", "no such address", ""])
def test_nothing_is_said_where_nobody_answers(away: str, tmp_path: Path) -> None:
    for words in ("wasmgrid status ", "wasmgrid drain "):
        done = asked(words, server=away, home=tmp_path)
        assert done.stderr == ""
        assert done.stdout.split() == (["plain,last"] if "status" in words else [])


def test_all_commands_are_offered_and_none_is_imported(tmp_path: Path) -> None:
    done = asked("wasmgrid ", server="", home=tmp_path)
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == list(COMMANDS)
    program = (
        "import os, sys\nos.environ |= {'_WASMGRID_COMPLETE': 'bash_complete', 'COMP_WORDS': 'wasmgrid ',"
        " 'COMP_CWORD': '1'}\nfrom wasmgrid.cli.main import main\nmain([])\n"
        "print([name for name in sys.modules if name.startswith('wasmgrid.cli.')])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "wasmgrid.cli.options" not in loaded


def test_bash_reads_the_script_and_completes(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_bytes(subprocess.run([WASMGRID, "completion", "bash"], capture_output=True, check=True).stdout)
    typed = f"source {script}; COMP_WORDS=(wasmgrid vers); COMP_CWORD=1; _wasmgrid_completion wasmgrid; echo $COMPREPLY"
    path = f"{WASMGRID.parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", typed], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("version\n", "")


@pytest.mark.parametrize(("shell", "has"), [("zsh", "#compdef wasmgrid"), ("fish", "function _wasmgrid_completion")])
def test_other_shells_have_their_script(shell: str, has: str) -> None:
    done = subprocess.run([WASMGRID, "completion", shell], capture_output=True, text=True, check=True)
    assert has in done.stdout
