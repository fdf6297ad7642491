"""`make demo` is the first thing that a newcomer types: it is run here as a whole, and left in the middle."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, str(ROOT / "scripts" / "demo.py")]
SHOWN = [
    "job running, id: 1.",
    "finished: false",
    'execution output: "job done, hello!\\n"',
    "hello from C, world!",
    "hello from C++, the sum is 42!",
    "hello from Go, the sum of ten squares is 385!",
    "hello from Zig, 2^10 is 1024!",
    "hello from WAT!",
    "compile cached",
    "expected `u32`, found `&str`",
    "peak MiB",
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


def test_a_demo_that_is_interrupted_stops_what_it_started(environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "job running, id: 1." in line:
                break
        demo.send_signal(signal.SIGTERM)
        rest = demo.stdout.read()
    assert demo.returncode == 130, rest
    assert not left_behind(tmp_path)
    assert not list(tmp_path.iterdir())
