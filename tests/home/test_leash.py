"""A leashed child ends with its parent, whatever ended that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.processes import runs

from wasmgrid import leash

DEADLINE_S = 30.0

PARENT = """
import subprocess, sys
from wasmgrid import leash
child = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
with subprocess.Popen({command}, stdin=subprocess.PIPE) as process:
    sys.exit(process.wait())
"""
LEASHED = PARENT.format(command="leash.command(child)")
GUARD = "import sys; from wasmgrid import leash; sys.exit(leash._guard(sys.argv[1:]))"
GUARDED = PARENT.format(command=f'[sys.executable, "-c", {GUARD!r}, *child]')


def _wait_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while runs(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.01)


@pytest.mark.parametrize("code", [LEASHED, GUARDED], ids=["kernel", "pipe"])
def test_kill_9_of_the_parent_ends_the_child(code: str) -> None:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            _wait_gone(child)
        finally:
            if runs(child):
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("guard", [leash._become, leash._guard], ids=["kernel", "pipe"])
def test_status_and_signals_go_through(guard: object, tmp_path: Path) -> None:
    name = getattr(guard, "__name__", "")
    call = "leash._guard(argv)" if name == "_guard" else "leash._become(argv, int(sys.argv[1]))"
    runner = f"import sys; from wasmgrid import leash; argv = sys.argv[2:]; sys.exit({call})"
    prefix = [sys.executable, "-c", runner, str(os.getpid())]
    done = subprocess.run([*prefix, sys.executable, "-c", "raise SystemExit(7)"], stdin=subprocess.DEVNULL, check=False)
    # the pipe is closed at once here, so the guard may kill before the child can say 7
    assert done.returncode in ({7} if name == "_become" else {7, -9, 247})
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.wait(DEADLINE_S) != 0


def test_a_parent_that_is_gone_already_ends_it_at_once() -> None:
    argv = leash.command([sys.executable, "-c", "print('ran')"])
    argv[argv.index(str(os.getpid()))] = "1"
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == leash._ORPHANED
    assert done.stdout == b""
