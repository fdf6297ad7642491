"""What a person at a terminal sees and types: starters, dev, top, status --watch, narrow and dumb terminals."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from tests.e2e import programs
from tests.e2e.grid import Grid
from tests.e2e.terminal import typed

from wasmgrid.build.toolchains import LANGUAGES


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"wasm"}))
def test_a_starter_runs_as_it_is(grid: Grid, language: str) -> None:
    ready = {
        each["language"]: each["state"] for each in json.loads(grid.text("toolchain", "list", "--json"))["toolchains"]
    }
    if ready[language] not in {"ready", "builtin"}:
        pytest.skip(f"no toolchain for {language} on this machine: wasmgrid toolchain install {language}")
    grid.text("init", f"new-{language}", "--language", language)
    assert re.fullmatch(r"hello from [\w+]+, world!\n", grid.text("run", f"new-{language}/job.toml"))
    assert grid.run("init", f"new-{language}", "--language", language).returncode == 2


def test_dev_runs_again_on_each_save_and_ctrl_c_cancels(grid: Grid) -> None:
    source = grid.file("dev/main.wat", programs.prints("one\n"))
    with typed(grid, "dev", str(source)) as terminal:
        terminal.until(lambda: terminal.screen.count("waiting for a change") == 1)
        assert "\none\n" in terminal.screen
        os.utime(source)  # nothing that a run could be other by
        source.write_text("(module (oops")
        terminal.until(lambda: terminal.screen.count("waiting for a change") == 2)
        assert "error[build_failed]" in terminal.screen
        assert "run 2" in terminal.screen
        new = Path(f"{source}~")
        new.write_text(programs.TICKS)
        new.rename(source)
        terminal.until("tick")
        source.write_text(programs.prints("two\n"))  # while it runs
        terminal.until("two")
        source.write_text(programs.TICKS)
        terminal.until(lambda: "run 5" in terminal.screen and terminal.screen.rstrip().endswith("tick"))
        terminal.type("\x03")
        assert terminal.ends() == 0
    assert "Traceback" not in terminal.text
    states = [job["state"] for job in json.loads(grid.text("jobs", "-n", "5", "--json"))["jobs"]]
    assert states == ["cancelled", "succeeded", "cancelled", "failed", "succeeded"]


def test_dev_says_what_is_wrong_with_a_job_file_and_goes_on(grid: Grid) -> None:
    grid.file("devjob/main.wat", programs.prints("hello\n"))
    job = grid.file("devjob/job.toml", 'source = "main.wat"\nmemory = 3\n')
    with typed(grid, "dev", str(job), columns=200) as terminal:
        terminal.until("did you mean memory_mb?")
        job.write_text('source = "main.wat"\nmemory_mb = 3\n')
        terminal.until("waiting for a change")
        assert "\nhello\n" in terminal.screen
        terminal.type("\x03")
        assert terminal.ends() == 0


def test_status_watch_draws_anew_on_a_terminal_and_lists_changes_elsewhere(grid: Grid) -> None:
    grid.file("ticks.wat", programs.TICKS)
    job_id = grid.text("submit", "ticks.wat").strip()
    grid.wait_state(int(job_id), "running")
    with typed(grid, "status", job_id, "--watch") as terminal:
        terminal.until("state: running")
        assert grid.run("cancel", job_id).returncode == 0
        terminal.until("state: cancelled")
        assert terminal.ends() == 0
        assert terminal.screen.count("job status:") == 1
    lines = grid.text("status", f"{job_id}", "-w").splitlines()
    assert len(lines) == 1
    assert re.fullmatch(rf"\S+Z job {job_id} cancelled: .*", lines[0])


def test_top_shows_the_grid_sorts_and_leaves_the_terminal_as_it_was(grid: Grid) -> None:
    grid.file("ticks.wat", programs.TICKS)
    job_id = grid.text("submit", "ticks.wat", "--job-name", "seen in top").strip()
    grid.wait_state(int(job_id), "running")
    with typed(grid, "top", "--every", "100ms", rows=20, columns=90) as terminal:
        terminal.until("seen in top")
        assert "WORKER" in terminal.screen
        assert f"job {job_id}" in terminal.screen
        terminal.type("s")
        terminal.until("sorted by cpus")
        terminal.type("p")
        terminal.until("paused")
        terminal.type("q")
        assert terminal.ends() == 0
    assert terminal.text.rstrip().endswith("\x1b[?1049l")  # the screen of before
    once = grid.text("top", "--once")
    assert "seen in top" in once
    assert "\x1b" not in once
    assert grid.run("top").returncode == 2
    numbers = json.loads(grid.text("top", "--json"))
    assert numbers["jobs"]["running"] >= 1
    grid.run("cancel", job_id)


def test_ctrl_c_ends_top_and_a_wait(grid: Grid) -> None:
    with typed(grid, "top") as terminal:
        terminal.until("WORKER")
        terminal.type("\x03")
        assert terminal.ends() == 0
    grid.file("ticks.wat", programs.TICKS)
    job_id = grid.text("submit", "ticks.wat", "--array", "0-1").strip()
    with typed(grid, "wait", job_id) as terminal:
        terminal.until("0 of 2")
        terminal.type("\x03")
        assert terminal.ends() == 130
        assert f"job {job_id} goes on" in terminal.screen
    assert "Traceback" not in terminal.text
    grid.run("cancel", job_id)


def test_tables_are_cut_where_a_narrow_terminal_ends(grid: Grid) -> None:
    grid.file("hello.wat", programs.prints("hello\n"))
    grid.text("submit", "hello.wat", "--job-name", "a name that no narrow terminal has any room for at all")
    for words in (
        ["jobs", "-n", "3"],
        ["workers"],
        ["toolchain", "list"],
        ["top", "--once"],
        ["status", "last", "-o", "wide"],
    ):
        with typed(grid, *words, columns=40, rows=60) as terminal:
            assert terminal.ends() == 0
        lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in terminal.text.replace("\r", "").split("\n")]
        told = [line for line in lines if not line.startswith(("there are more", "w1 ", "no "))]
        assert max(map(len, told)) <= 40, words


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_no_colours_where_nobody_wants_them(grid: Grid, variables: dict[str, str]) -> None:
    grid.file("broken.wat", "(module (oops")
    coloured = re.compile(r"\x1b\[[0-9;]*[1-9][0-9;]*m")
    with typed(grid, "run", "broken.wat", variables=variables) as terminal:
        assert terminal.ends() == 126
    assert not coloured.search(terminal.text)
    with typed(grid, "status", "last", "--watch", variables=variables) as terminal:
        assert terminal.ends() == 0
    assert not coloured.search(terminal.text)
    if variables.get("TERM") == "dumb":
        assert "\x1b" not in terminal.text
