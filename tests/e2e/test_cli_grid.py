"""Starting and stopping grids: up, down, what starts by itself, and that nothing is left."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.e2e import programs
from tests.e2e.grid import GONE_S, Grid


@pytest.fixture
def nothing(tmp_path: Path) -> Grid:
    """A home where nothing runs, and a place to type commands."""
    (tmp_path / "work").mkdir()
    return Grid(home=tmp_path / "home", directory=tmp_path / "work")


def test_a_run_without_a_grid_starts_one_and_says_so(nothing: Grid) -> None:
    nothing.file("hello.wat", programs.prints("hello\n"))
    try:
        done = nothing.run("run", "hello.wat")
        assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr.decode() + nothing.logs()
        first = done.stderr.decode().splitlines()[0]
        assert first == "no server is running; starting one (it stops after 10m without work: wasmgrid up)"
        assert "no server is running" not in nothing.run("run", "hello.wat").stderr.decode()
        nothing.pid = json.loads((nothing.home / "endpoint.json").read_text())["pid"]
        stopped = nothing.run("down")
        assert stopped.returncode == 0
        assert stopped.stderr.decode() == f"stopped: pid {nothing.pid} in {nothing.home}\n"
        assert nothing.gone()
        assert nothing.run("jobs").returncode == 125
        assert "nothing runs" in nothing.run("down").stderr.decode()
    finally:
        nothing.run("down")


def test_two_runs_at_once_start_one_grid(nothing: Grid) -> None:
    nothing.file("hello.wat", programs.prints("hello\n"))
    try:
        both = [nothing.start("run", "hello.wat", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        ended = [process.communicate(timeout=120) for process in both]
        assert [out for out, _ in ended] == [b"hello\n"] * 2, ended
        assert len(json.loads(nothing.text("jobs", "--json"))["jobs"]) == 2
    finally:
        nothing.run("down")
        assert nothing.gone()


def test_an_idle_grid_stops_by_itself(nothing: Grid) -> None:
    nothing.up("--idle-exit", "10s")
    assert nothing.gone()


def test_a_second_up_in_a_home_is_refused(own_grid: Grid) -> None:
    for flags in (["--detach"], []):
        done = own_grid.run("up", "--port", "0", *flags)
        assert done.returncode == 125
        assert f"error[home_in_use]: a server (pid {own_grid.pid}) runs in" in done.stderr.decode()


def test_a_port_that_is_taken(nothing: Grid, own_grid: Grid) -> None:
    port = own_grid.url.rpartition(":")[2]
    done = nothing.run("up", "--detach", "--port", port)
    assert done.returncode == 125
    assert "error[unavailable]: cannot listen on" in done.stderr.decode()
    assert nothing.gone()


def test_down_and_up_again_forgets_nothing(own_grid: Grid) -> None:
    own_grid.file("ticks.wat", programs.TICKS)
    own_grid.file("hello.wat", programs.prints("still here\n"))
    own_grid.run("run", "hello.wat")
    waiting = own_grid.text("submit", "hello.wat", "--require", "colour=green").strip()
    assert own_grid.run("down").returncode == 0
    assert own_grid.gone()
    own_grid.up("--label", "colour=green")
    done = own_grid.run("wait", waiting, timeout_s=60)
    assert done.returncode == 0, done.stderr.decode()
    assert own_grid.text("logs", waiting) == "still here\n"


def test_a_follower_survives_a_restart(own_grid: Grid) -> None:
    own_grid.file("hello.wat", programs.prints("still here\n"))
    waiting = own_grid.text("submit", "hello.wat", "--require", "colour=blue").strip()
    with own_grid.start("logs", "-f", waiting, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        assert follower.stderr is not None
        assert follower.stderr.readline().startswith(b"queued")  # it follows now
        own_grid.run("down")
        own_grid.up("--label", "colour=blue")
        out, err = follower.communicate(timeout=60)
    assert (follower.returncode, out) == (0, b"still here\n"), err.decode()


def test_ctrl_c_stops_up_in_the_foreground(nothing: Grid) -> None:
    with nothing.start("up", "--port", "0", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        assert "grid ready at http://127.0.0.1:" in line
        assert f"home {nothing.home}" in line
        assert "wasmgrid down" in line
        process.terminate()
        assert process.wait(GONE_S) == 0
    assert nothing.gone()


def test_a_server_and_a_worker_of_its_own(nothing: Grid) -> None:
    nothing.file("hello.wat", programs.prints("hello\n"))
    with nothing.start("server", "--port", "0", stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr is not None
            assert b"grid ready" in server.stderr.readline()
            with nothing.start("worker", "--id", "helper", "--cpus", "1") as worker:
                done = nothing.run("run", "hello.wat")
                assert done.stdout == b"hello\n", done.stderr.decode()
                assert done.stderr.decode().rstrip().endswith("worker helper")
                worker.terminate()
                assert worker.wait(GONE_S) == 0
        finally:
            server.terminate()
            server.wait(GONE_S)
    assert nothing.gone()


def test_doctor_and_toolchains(grid: Grid) -> None:
    said = grid.run("doctor").stdout.decode()
    for name in ("python", "home", "disk", "fabric", "sandbox", "runner", "toolchain", "server"):
        assert re_line(said, name), said
    assert f"{grid.url}, version" in said
    assert grid.text("toolchain", "list").split()[:2] == ["LANGUAGE", "STATE"]
    assert grid.text("toolchain", "check", "wat").startswith("ok    wat")
    unknown = grid.run("toolchain", "install", "cobol")
    assert unknown.returncode == 2
    assert "error[language_unknown]" in unknown.stderr.decode()


def re_line(text: str, name: str) -> bool:
    return any(line.split()[1:2] == [name] and line.split()[0] in {"ok", "warn", "fail"} for line in text.splitlines())
