"""Arrays typed at a real grid: what each task is given, what comes back in which order, and what failed again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.e2e import arrayguests, guests, programs
from tests.e2e.grid import Grid

from wasmgrid.core.job import JobSpec
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.sdk import lines, prepare


@pytest.fixture(autouse=True)
def files(grid: Grid) -> None:
    for name in ("CAT", "ARGS", "EXITS"):
        grid.file(f"{name.lower()}.wat", getattr(arrayguests, name))


def test_outputs_come_in_the_order_of_the_indexes(grid: Grid) -> None:
    done = grid.run("run", "args.wat", "--array", "3,7,10-14", "--", "task {index}", "{{index}}")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == [
        text for index in (3, 7, 10, 11, 12, 13, 14) for text in (f"task {index}", "{index}")
    ]
    assert "7 tasks: 7 succeeded" in done.stderr.decode()
    assert grid.text("logs", "last") == done.stdout.decode()
    assert grid.text("logs", "last", "--index", "12") == "task 12\n{index}\n"


def test_each_line_is_stdin_or_arguments_or_stands_where_it_is_named(grid: Grid) -> None:
    text = "first\nsecond line 'with quotes'\n\nlast\n"
    grid.file("lines.txt", text.removesuffix("\n"))  # every task gets an end
    done = grid.run("run", "cat.wat", "--each-line", "lines.txt")
    assert (done.returncode, done.stdout.decode()) == (0, text), done.stderr.decode()
    assert grid.run("run", "cat.wat", "--each-line", "-", stdin=text.encode()).stdout.decode() == text
    as_args = grid.run("run", "args.wat", "--each-line", "lines.txt", "--as-args", "--", "-v")
    assert as_args.stdout.decode().split("-v\n") == [
        "", "first\n", "second\nline\nwith quotes\n", "", "last\n",
    ]  # fmt: skip
    named = grid.run("run", "args.wat", "--each-line", "lines.txt", "--array", "0-1", "--", "--line={line};")
    assert named.stdout.decode() == "--line=first;\n--line=second line 'with quotes';\n"


def test_elements_of_json(grid: Grid) -> None:
    grid.file("in.json", '[\n  {"a": 1.50, "é": [true]},\n  100000000000000000000000\n]\n')
    done = grid.run("run", "cat.wat", "--from-json", "in.json")
    assert (done.returncode, done.stdout.decode()) == (0, '{"a":1.50,"é":[true]}\n100000000000000000000000\n')
    grid.file("in.ndjson", '["a b", 2.50]\n["c"]\n')
    done = grid.run("run", "args.wat", "--from-json", "in.ndjson", "--as-args")
    assert done.stdout.decode() == "a b\n2.50\nc\n"


@pytest.fixture
def some_failed(grid: Grid) -> tuple[int, subprocess.CompletedProcess[bytes]]:
    """An array of ten tasks, of which all but the first failed: (its id, how it was told)."""
    done = grid.run("run", "exits.wat", "--array", "0-9", "--", "{index}")
    return json.loads(grid.text("status", "last", "--json"))["id"], done


def test_what_failed_is_told_listed_and_run_again(
    grid: Grid, some_failed: tuple[int, subprocess.CompletedProcess[bytes]]
) -> None:
    job_id, done = some_failed
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (1, b""), said
    assert "10 tasks: 1 succeeded, 9 failed" in said
    assert f"1 x exited(1) · see: wasmgrid logs {job_id} --index 1" in said
    assert f"again: wasmgrid rerun {job_id} --failed" in said

    listed = grid.text("tasks", str(job_id), "--failed").splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [[str(code), f"exited({code})"] for code in range(1, 10)]
    results = [json.loads(line) for line in grid.text("results", str(job_id), "--failed").splitlines()]
    assert sorted((each["index"], each["exit_code"]) for each in results) == [(code, code) for code in range(1, 10)]
    status = grid.text("status", str(job_id))
    assert "tasks: 10 tasks: 1 succeeded, 9 failed" in status
    assert "1/10" in grid.text("jobs", "-n", "1")

    again = grid.run("rerun", str(job_id), "--failed", "--memory-mb", "64", "--json")
    assert again.returncode == 1
    job = json.loads(again.stdout)
    assert (job["task_count"], job["spec"]["array"], job["spec"]["memory_mb"]) == (9, "1-9", 64)
    assert grid.run("wait", str(job["id"])).returncode == 1


def test_max_fails_gives_up(grid: Grid) -> None:
    done = grid.run("run", "exits.wat", "--array", "1-5000", "--max-fails", "2", "--concurrency", "1", "--", "{index}")
    assert done.returncode == 1
    job = json.loads(grid.text("status", "last", "--json"))
    assert job["state"] == "failed"
    assert 2 < job["task_counts"]["failed"] < 5000
    assert sum(job["task_counts"].values()) == 5000


def test_outputs_that_are_too_large_for_a_row_come_whole(grid: Grid) -> None:
    large = ["x" * 9999 for _ in range(25)]
    grid.file("big.txt", "\n".join(large) + "\n")
    grid.file("in.json", json.dumps(["y" * 200_000, "z"]))
    done = grid.run("run", "cat.wat", "--from-json", "in.json")
    assert done.stdout.decode() == f'"{"y" * 200_000}"\n"z"\n'


@pytest.fixture
def slow(grid: Grid) -> Iterator[int]:
    """An array of tasks that take a while each, one at a time; cancelled at the end."""
    grid.file("nap.wat", guests.sleeper(0.3))
    job_id = int(grid.text("submit", "nap.wat", "--array", "0-199", "--concurrency", "1"))
    yield job_id
    grid.run("cancel", str(job_id))
    grid.wait_state(job_id, *FINISHED)


def test_results_come_while_it_runs(grid: Grid, slow: int) -> None:
    with grid.start("results", str(slow), "-f", stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())
        assert first["stdout"] == "slept\nslept\n"
        with grid.client() as client:
            counts = client.status(slow).counts
        assert counts.ended < 200
        assert counts.running <= 1  # as --concurrency says
        assert "rate: " in grid.text("status", str(slow))
        assert grid.run("cancel", str(slow)).returncode == 0
        rest = following.stdout.read().splitlines()
        assert following.wait(timeout=60) == 0
    assert len({json.loads(line)["index"] for line in rest} | {first["index"]}) == 200
    assert grid.run("wait", str(slow)).returncode == 130


def test_ctrl_c_detaches(grid: Grid) -> None:
    grid.file("nap.wat", guests.sleeper(0.3))
    flags = ["--array", "0-199", "--concurrency", "1"]
    with grid.start("run", "nap.wat", *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"slept\n"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"detached: job " in said
    assert grid.run("cancel", "last").returncode == 0
    assert grid.run("wait", "last").returncode == 130


def test_a_batch_and_a_map_of_many_lines(grid: Grid) -> None:
    with grid.client() as client:
        cat = prepare.job(grid.directory / "cat.wat", lines=lines.of_texts(f"line {number}" for number in range(3000)))
        job = client.wait(client.submit_spec(cat.spec, cat.blobs).id)
        assert (job.state, job.counts.succeeded, job.task_count) == ("succeeded", 3000, 3000)
        printed = {each.index: each.stdout for each in client.results(job.id)}
        assert printed == {number: f"line {number}\n" for number in range(3000)}
        assert client.task(job.id, 1234).stdout == "line 1234\n"
        assert [task.index for task in client.tasks(job.id)] == list(range(3000))
        assert job.module_sha256 is not None
        good = JobSpec(module_sha256=job.module_sha256, stdin="x")
        first, bad, last = client.submit_many([good, JobSpec(module_sha256=job.module_sha256, cpus=5000.0), good])
        assert not isinstance(bad, type(first))
        assert [client.wait(each.id).state for each in (first, last)] == ["succeeded"] * 2  # type: ignore[union-attr]


def test_a_run_of_an_array_outlives_its_server(own_grid: Grid) -> None:
    """What was printed is not printed again, what was not comes; though the server was killed in between."""
    own_grid.file("counts.wat", programs.counts(20))
    flags = ["--array", "0-9", "--concurrency", "1"]
    with own_grid.start("run", "counts.wat", *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        head = running.stdout.readline()
        os.kill(own_grid.pid, signal.SIGKILL)
        own_grid.up()
        out, said = running.stdout.read(), running.stderr.read()
        running.wait(timeout=60)
    assert running.returncode == 0, said.decode()
    assert head + out == programs.counted(20) * 10
    assert b"; trying again" in said
