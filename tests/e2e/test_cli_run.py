"""`run`, `submit`, `build` and what they leave, typed at a real grid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e import programs
from tests.e2e.grid import Grid


def test_hello(grid: Grid) -> None:
    grid.file("hello.wat", programs.prints("hello\n"))
    done = grid.run("run", "hello.wat", "-j", "greeting")
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    first, *_, last = done.stderr.decode().splitlines()
    assert first.startswith("job running, id: ")
    assert first.endswith(".")
    assert last.startswith("compile ")
    for part in (" · queue ", " · run ", " · cpu ", " · peak ", " · worker w1"):
        assert part in last
    again = grid.run("run", "hello.wat")
    assert again.stderr.decode().splitlines()[-1].startswith("compile cached · queue ")


@pytest.mark.parametrize("code", [0, 1, 42, 126, 255])
def test_hostile_44_exit_codes_pass_through(grid: Grid, code: int) -> None:
    grid.file("exit.wat", programs.exits(code))
    done = grid.run("run", "exit.wat")
    assert (done.returncode, done.stdout) == (code, b"")


@pytest.mark.parametrize(
    ("program", "flags", "code", "outcome"),
    [
        (programs.SPIN, ["--time-limit", "300ms"], 124, "timed_out"),
        (programs.TICKS, ["--time-limit", "300ms"], 124, "timed_out"),
        (programs.TRAP, [], 134, "trapped"),
        (programs.EAT, ["-m", "16"], 137, "out_of_memory"),
        (programs.SPIN, ["--fuel", "100000"], 152, "out_of_fuel"),
        (programs.FLOOD, ["--output-limit", "1M"], 153, "output_limit"),
        ("(module (func (export", [], 126, "build_failed"),
    ],
)
def test_every_other_end_has_its_exit_code(grid: Grid, program: str, flags: list[str], code: int, outcome: str) -> None:
    grid.file("end.wat", program)
    done = grid.run("run", "end.wat", *flags)
    assert done.returncode == code, done.stderr.decode()
    assert f"error[{outcome}]: " in done.stderr.decode()
    if outcome == "output_limit":
        assert len(done.stdout) >= 1 << 20


def test_hostile_18_a_module_that_is_none(grid: Grid) -> None:
    (grid.directory / "bad.wasm").write_bytes(b"\0asm\1\0\0\0garbage")
    done = grid.run("run", "bad.wasm")
    assert done.returncode == 126
    assert "error[invalid_module]: " in done.stderr.decode()


def test_source_from_stdin(grid: Grid, c: None) -> None:
    assert grid.run("run", "-", stdin=programs.prints("from stdin\n").encode()).stdout == b"from stdin\n"
    assert grid.run("run", "-", stdin=programs.HELLO_C.encode()).stdout == b"hello from C\n"
    assert grid.run("run", "-", "--language", "c", stdin=programs.HELLO_C.encode()).stdout == b"hello from C\n"


def test_all_that_a_job_can_be_given(grid: Grid, c: None) -> None:
    grid.file("kitchen.c", programs.KITCHEN_C)
    grid.file("data.txt", "a file")
    grid.file("tree/deep/inner.txt", "deep down")
    grid.file("stdin.txt", "what it reads")
    flags = ["-e", "COLOUR=blue", "--stdin", "stdin.txt", "--input", "data.txt", "--input", "tree:/data"]
    done = grid.run("run", "kitchen.c", *flags, "--job-name", "kitchen", "--", "one", "--two", "three four")
    assert done.returncode == 7
    assert done.stdout.decode().splitlines() == [
        "arg: one", "arg: --two", "arg: three four", "env: blue", "stdin: what it reads", "file: a file",
        "tree: deep down", "write: denied",
    ]  # fmt: skip
    assert "on stderr\n" in done.stderr.decode()
    job = json.loads(grid.text("status", "last", "--json"))
    assert job["name"] == "kitchen"

    listed = grid.text("artifacts", "last")
    assert "result.txt" in listed
    assert grid.run("artifacts", str(job["id"]), "-o", "left").returncode == 0
    assert (grid.directory / "left/result.txt").read_text() == "left behind"
    _check_repro(grid, job["id"])


def _check_repro(grid: Grid, job_id: int) -> None:
    """The folder holds all that the job had; a runtime that takes wasmtime's flags gives the same."""
    assert grid.run("repro", str(job_id), "-o", f"again-{job_id}").returncode == 0
    folder = grid.directory / f"again-{job_id}"
    assert (folder / "module.wasm").read_bytes().startswith(b"\0asm")
    assert (folder / "fresh/in/data.txt").read_text() == "a file"
    assert (folder / "fresh/data/deep/inner.txt").read_text() == "deep down"
    assert (folder / "stdin").read_text() == "what it reads"
    script = (folder / "run.sh").read_text()
    assert "--env COLOUR=blue module.wasm" in script
    assert "one --two 'three four'" in script
    second = grid.run("repro", str(job_id), "-o", f"again-{job_id}")
    assert second.returncode == 2
    assert "is there already" in second.stderr.decode()


def test_a_project_directory(grid: Grid, c: None) -> None:
    grid.file("project/main.c", '#include <stdio.h>\n#include "part.h"\nint main(void) { printf("%d\\n", part()); }\n')
    grid.file("project/part.h", "int part(void);\n")
    grid.file("project/part.c", "int part(void) { return 42; }\n")
    grid.file("project/.gitignore", "broken.c\n")
    grid.file("project/broken.c", "this is not C")
    done = grid.run("run", "project")
    assert (done.returncode, done.stdout) == (0, b"42\n"), done.stderr.decode()


def test_hostile_1_a_compile_error(grid: Grid, c: None) -> None:
    grid.file("broken.c", programs.BROKEN_C)
    done = grid.run("run", "broken.c")
    assert (done.returncode, done.stdout) == (126, b"")
    said = done.stderr.decode()
    assert "broken.c:1:" in said
    assert "nothing_of_this_name" in said
    assert "\x1b" not in said
    assert "broken.c:1:" in grid.text("logs", "--build", "last")


def test_build_only(grid: Grid, c: None) -> None:
    grid.file("only.c", programs.HELLO_C)
    done = grid.run("build", "only.c", "-o", "only.wasm")
    assert done.returncode == 0, done.stderr.decode()
    assert (grid.directory / "only.wasm").read_bytes().startswith(b"\0asm")
    assert grid.run("run", "only.wasm").stdout == b"hello from C\n"
    grid.file("broken.c", programs.BROKEN_C)
    failed = grid.run("build", "broken.c")
    assert failed.returncode == 126
    assert "nothing_of_this_name" in failed.stderr.decode()
    again = grid.run("build", "only.wasm")
    assert again.returncode == 2
    assert "is a .wasm already" in again.stderr.decode()


def test_the_module_comes_back_and_is_a_program_by_itself(grid: Grid) -> None:
    grid.file("give.wat", programs.prints("the same\n"))
    assert grid.run("run", "give.wat").stdout == b"the same\n"
    assert grid.run("wasm", "last", "-o", "given.wasm").returncode == 0
    assert grid.run("run", "given.wasm").stdout == b"the same\n"
    piped = grid.run("wasm", "last", "-o", "-")
    assert piped.stdout == (grid.directory / "given.wasm").read_bytes()


def test_json(grid: Grid) -> None:
    grid.file("json.wat", programs.prints("out\n"))
    done = grid.run("run", "json.wat", "--json")
    job = json.loads(done.stdout)
    assert (job["state"], job["result"]["stdout"], job["result"]["exit_code"]) == ("succeeded", "out\n", 0)
    submitted = json.loads(grid.text("submit", "json.wat", "--json"))
    assert grid.run("wait", str(submitted["id"])).returncode == 0
    listed = json.loads(grid.text("jobs", "--json", "-n", "2"))
    assert [each["id"] for each in listed["jobs"]] == [submitted["id"], job["id"]]
    for command in (["workers"], ["version"], ["why", "last"], ["artifacts", "last"], ["prune", "--dry-run"]):
        assert json.loads(grid.text(*command, "--json")) is not None


def test_submit_prints_the_id_alone_and_a_key_makes_it_one_job(grid: Grid) -> None:
    grid.file("key.wat", programs.exits(3))
    first, second = (grid.run("submit", "key.wat", "--idempotency-key", "the-key") for _ in range(2))
    assert first.stdout == second.stdout
    assert first.stdout.strip().isdigit()
    assert first.stderr == b""
    assert grid.run("wait", first.stdout.decode().strip()).returncode == 3
    conflict = grid.run("submit", "key.wat", "--cpus", "0.5", "--idempotency-key", "the-key")
    assert conflict.returncode == 125
    assert "error[idempotency_conflict]: " in conflict.stderr.decode()


def test_detach_returns_with_the_id(grid: Grid) -> None:
    grid.file("ticks.wat", programs.TICKS)
    done = grid.run("run", "ticks.wat", "--detach")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().startswith("job running, id: ")
    assert grid.run("cancel", "last").returncode == 0
    assert grid.run("wait", "last").returncode == 130


def test_what_nobody_has_is_told_at_once(grid: Grid) -> None:
    grid.file("big.wat", programs.exits(0))
    done = grid.run("submit", "big.wat", "--gpus", "7")
    assert done.returncode == 0
    assert "warning: " in done.stderr.decode()
    job_id = done.stdout.decode().strip()
    grid.wait_state(int(job_id), "queued")
    assert "gpus" in grid.text("why", job_id)
    assert grid.run("cancel", job_id).returncode == 0
    refused = grid.run("submit", "big.wat", "--gpus", "7", "--fail-fast")
    assert refused.returncode == 125
    assert "error[unsatisfiable]: " in refused.stderr.decode()


def test_links_are_refused_before_anything_is_sent(grid: Grid) -> None:
    grid.file("linked/main.c", programs.HELLO_C)
    (grid.directory / "linked/link.h").symlink_to(Path("/etc/passwd"))
    done = grid.run("run", "linked")
    assert done.returncode == 2
    assert "error[invalid_path]: 'link.h' is a symbolic link" in done.stderr.decode()
