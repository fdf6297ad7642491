"""`make demo` is the first thing that a newcomer types: it is run here as a whole, and left in the middle."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import psutil
import pytest
from scripts import demo

from wasmgrid.cli.main import root

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, str(ROOT / "scripts" / "demo.py")]
SHOWN = [
    "job running, id: 1.",
    "finished: false",
    'execution output: "job done, hello!\\n"',
    "hello from Python, world!",
    "hello from JavaScript!",
    "hello from TypeScript, world!",
    "hello from C, world!",
    "hello from C++, the sum is 42!",
    "hello from Go, the sum of ten squares is 385!",
    "hello from Zig, 2^10 is 1024!",
    "hello from WAT!",
    "compile cached",
    "expected `u32`, found `&str`",
    "peak MiB",
    "$ wasmgrid dashboard",
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where the demo makes its home is known to the test."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


def left_behind(folder: Path) -> list[psutil.Process]:
    """Processes whose grid's home is below `folder`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("WASMGRID_HOME", "").startswith(str(folder)):
                found.append(process)
    return found


def test_the_demo_shows_the_main_job_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(DEMO, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "No toolchain for" not in done.stdout:
        assert not [text for text in SHOWN if text not in done.stdout]
    assert not left_behind(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [command for command, _ in demo.NEXT])
def test_what_the_demo_says_to_type_next_can_be_typed(command: str) -> None:
    words = command.split()
    found = root.get_command(click.Context(root), words[0])
    assert found is not None
    with found.make_context(words[0], words[1:]):
        pass  # its flags and arguments are understood
    assert all((ROOT / word).exists() for word in words if word.startswith("examples/"))


def test_a_demo_that_is_interrupted_stops_what_it_started(environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as shown:
        assert shown.stdout is not None
        for line in shown.stdout:
            if "job running, id: 1." in line:
                break
        shown.send_signal(signal.SIGTERM)
        rest = shown.stdout.read()
    assert shown.returncode == 130, rest
    assert not left_behind(tmp_path)
    assert not list(tmp_path.iterdir())
