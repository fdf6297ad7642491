"""Watching and ending jobs: status, logs, wait, Ctrl-C, terminals; at a real grid."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import IO

import pytest
from tests.e2e import programs
from tests.e2e.grid import WASMGRID, Grid

RUNNING = re.compile(rb"job running, id: (\d+)\.\n")


@contextlib.contextmanager
def ticking(grid: Grid) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A `run` of a job without an end, once its first output has come; and the job's id."""
    grid.file("ticks.wat", programs.TICKS)
    with grid.start(
        "run", "ticks.wat", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            match = RUNNING.match(process.stderr.readline())
            assert match is not None
            assert process.stdout.read(5) == b"tick\n"
            yield process, int(match[1])
        finally:
            if process.poll() is None:
                process.kill()


def drain(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.read().decode()


def test_one_ctrl_c_detaches(grid: Grid) -> None:
    with ticking(grid) as (process, job_id):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        said = drain(process.stderr)
        assert f"detached: job {job_id} goes on · come back: wasmgrid logs -f {job_id}" in said
    assert json.loads(grid.text("status", str(job_id), "--json"))["state"] == "running"
    assert grid.run("cancel", str(job_id)).returncode == 0
    grid.wait_state(job_id, "cancelled")


def test_two_ctrl_c_cancel(grid: Grid) -> None:
    with ticking(grid) as (process, job_id):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"detached")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert f"job {job_id} is cancelled" in drain(process.stderr)
    grid.wait_state(job_id, "cancelled")


def test_cancel_ends_a_run_elsewhere(grid: Grid) -> None:
    with ticking(grid) as (process, job_id):
        assert grid.run("cancel", str(job_id)).returncode == 0
        assert process.wait(30) == 130
        assert "error[cancelled]" in drain(process.stderr)


def test_a_run_whose_reader_goes_away_leaves_the_job(grid: Grid) -> None:
    with ticking(grid) as (process, job_id):
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) in {1, 141}
    assert grid.wait_state(job_id, "running").state == "running"
    grid.run("cancel", str(job_id))


def test_status_while_it_runs_and_after(grid: Grid) -> None:
    with ticking(grid) as (_, job_id):
        lines = grid.text("status", "--id", str(job_id)).splitlines()
        assert lines[:3] == ["job status:", '\tname: ""', "\tfinished: false"]
        assert re.fullmatch(r"\trunning time \(ms\): [1-9]\d*", lines[3])
        assert lines[4].startswith('\texecution output: "tick\\ntick')
        grid.run("cancel", str(job_id))
    grid.wait_state(job_id, "cancelled")
    after = grid.text("status", str(job_id)).splitlines()
    assert after[2] == "\tfinished: true"
    assert f"\tid: {job_id}" in after


def test_the_prototypes_two_commands(grid: Grid) -> None:
    grid.file("hello.wat", programs.prints("job done, hello!\n"))
    done = grid.run("run", "hello.wat", "--cpus", "1", "--memory-mb", "1000", "--job-name", "sleep")
    match = re.search(r"^job running, id: (\d+)\.$", done.stderr.decode(), re.MULTILINE)
    assert match is not None
    block = grid.text("status", "--id", match[1])
    assert re.match(
        r'job status:\n\tname: "sleep"\n\tfinished: true\n\trunning time \(ms\): \d+\n'
        r'\texecution output: "job done, hello!\\n"\n',
        block,
    )
    assert grid.text("status", match[1]) == block == grid.text("status", "last")


def test_logs_again_and_while_they_come(grid: Grid) -> None:
    grid.file("words.wat", programs.prints("words\n"))
    assert grid.run("run", "words.wat").returncode == 0
    assert grid.text("logs", "last") == "words\n"
    with ticking(grid) as (_, job_id), grid.start("logs", "-f", str(job_id), stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stdout.read(10) == b"tick\ntick\n"
        assert grid.text("logs", str(job_id)).startswith("tick\ntick\n")
        grid.run("cancel", str(job_id))
        rest = follower.stdout.read()
        assert rest == b"tick\n" * (len(rest) // 5)
        assert follower.wait(30) == 0


def test_wait_gives_up_and_the_job_goes_on(grid: Grid) -> None:
    with ticking(grid) as (_, job_id):
        done = grid.run("wait", str(job_id), "--timeout", "200ms")
        assert done.returncode == 125
        assert "error[timed_out_waiting]: " in done.stderr.decode()
        grid.run("cancel", str(job_id))
        assert grid.run("wait", str(job_id)).returncode == 130


def test_a_job_that_is_not_there(grid: Grid) -> None:
    grid.file("exit.wat", programs.exits(0))
    latest = grid.text("submit", "exit.wat").strip()
    done = grid.run("status", "999999")
    assert done.returncode == 125
    assert done.stderr.decode() == f"error[job_not_found]: no job 999999 · latest is {latest} · list: wasmgrid jobs\n"


def test_a_wrong_token_is_told(grid: Grid) -> None:
    environment = {**grid.environment, "WASMGRID_SERVER": grid.url, "WASMGRID_TOKEN": "wrong"}
    done = subprocess.run([WASMGRID, "jobs"], env=environment, capture_output=True, check=False)
    assert done.returncode == 125
    assert "error[unauthorized]" in done.stderr.decode()


def test_lists(grid: Grid) -> None:
    grid.file("exit.wat", programs.exits(0))
    grid.run("run", "exit.wat", "-j", "a\x1b[31mname")
    listed = grid.text("jobs", "-n", "3").splitlines()
    assert listed[0].split() == ["ID", "NAME", "STATE", "OUTCOME", "RUN", "AGE"]
    assert "a\\x1b[31mname" in listed[1]
    assert "exited(0)" in listed[1]
    assert grid.text("workers").splitlines()[1].startswith("w1")
    assert "server 0." in grid.text("version")
    assert grid.text("prune", "--dry-run").startswith("would go: ")


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_48_escapes_in_the_terminal_and_in_a_file(grid: Grid, terminal: bool) -> None:
    attack = "\x1b]0;owned\x07\x1b[2Jred\x9b31m\r\nnext\ttab\n"
    grid.file("attack.wat", programs.prints(attack))
    if not terminal:
        assert grid.run("run", "attack.wat").stdout == attack.encode()
        return
    shown = on_a_terminal(grid, "run", "attack.wat")
    assert "\\x1b]0;owned\\x07\\x1b[2Jred\\x9b31m" in shown
    assert "next\ttab" in shown
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown


def test_hostile_1_diagnostics_are_coloured_in_a_terminal(grid: Grid) -> None:
    grid.file("broken.wat", "(module (func (export")
    shown = on_a_terminal(grid, "run", "broken.wat")
    assert "error[build_failed]" in shown


def on_a_terminal(grid: Grid, *words: str) -> str:
    """All that a command writes where stdin, stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = grid.start(*words, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        ends_at = time.monotonic() + 120
        with process:
            while time.monotonic() < ends_at:
                if select.select([ours], [], [], 0.2)[0]:
                    try:
                        shown += os.read(ours, 65536)
                    except OSError:  # the other side is closed
                        break
    finally:
        os.close(ours)
    return shown.decode()
