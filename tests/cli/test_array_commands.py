"""The commands of many tasks at a scripted server: order, lost connections, failures, a terminal's bar."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.cli import bar
from wasmgrid.cli.bar import Bar, Printer
from wasmgrid.cli.histogram import quantile, rows
from wasmgrid.cli.main import main
from wasmgrid.core.digest import sha256_hex
from wasmgrid.sdk.counts import Counts

NDJSON = "application/x-ndjson"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripted]:
    """A server that is configured, and a program."""
    with serving() as script:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", script.url)
        monkeypatch.chdir(tmp_path)
        Path("x.wat").write_text("(module)")
        yield script


def job(state: str, function: str | None = None, **counts: int) -> dict[str, object]:
    """Job 5, an array of three tasks."""
    return {
        "id": 5, "state": state, "finished": state in {"succeeded", "failed"}, "task_count": 3, "task_counts": counts,
        "spec": {"array": "2-4", "function": function},
    }  # fmt: skip


class Grid:
    """Answers about job 5: the results in `streams`, one after the other; it is `finished` once they were asked for."""

    def __init__(self, streams: list[Answer], finished: dict[str, object], tasks: list[dict[str, object]]) -> None:
        self.streams = streams
        self.finished = finished
        self.tasks = tasks

    def __call__(self, asked: Asked) -> Answer:
        running = job("running", str(self.finished["spec"]["function"] or "") or None, running=3)  # type: ignore[index]
        if asked.method == "POST":
            return Answer(running, 201)
        if asked.target.endswith("/events"):
            return Answer(f"event: job\ndata: {json.dumps(running)}\n\n".encode(), kind="text/event-stream")
        if "/results" in asked.target:
            return self.streams.pop(0)
        if "/tasks" in asked.target:
            return Answer({"tasks": self.tasks})
        if "/stdout" in asked.target:
            return Answer(b"L" * 100_000 + b"\n", kind="application/octet-stream")
        return Answer(running if self.streams else self.finished)


def stream(*lines: object, broken: bool = False) -> Answer:
    return Answer(b"".join(json.dumps(line).encode() + b"\n" for line in lines), kind=NDJSON, broken=broken)


def test_outputs_come_in_order_each_once_over_lost_connections(
    server: Scripted, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    third = {"index": 4, "seq": 7, "stdout": "four\n", "outcome": "exited", "exit_code": 0}
    second = {"index": 3, "seq": 8, "stdout": "LLL", "stdout_sha256": "ab" * 32, "outcome": "exited", "exit_code": 0}
    first = {"index": 2, "stdout": "\ufffd", "stdout_base64": "/wo=", "outcome": "exited", "exit_code": 0}
    streams = [stream(third, broken=True), stream(third, second), stream(third, second, first)]
    server.respond = Grid(streams, job("succeeded", succeeded=3), [])
    assert main(["run", "x.wat", "--array", "2-4"]) == 0
    said = capsysbinary.readouterr()
    assert said.out == b"\xff\n" + b"L" * 100_000 + b"\nfour\n"
    assert b"; trying again" in said.err
    assert b"3 tasks: 3 succeeded" in said.err
    resumed = [asked.target.partition("after=")[2] for asked in server.asked if "results" in asked.target]
    assert resumed == ["", "7", "8"]
    assert [asked.target for asked in server.asked if "stdout" in asked.target] == ["/v1/jobs/5/stdout?index=3"]


def test_values_are_lines_of_json_and_a_failure_is_told(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"index": 3, "outcome": "rejected", "exit_code": None, "message": "takes (a: i32)"}
    values = stream({"index": 4, "return_value": [1, "x"]}, failed, {"index": 2, "return_value": 5})
    server.respond = Grid([values], job("failed", "f", succeeded=2, failed=1), [failed])
    assert main(["run", "x.wat", "--array", "2-4", "--function", "f"]) == 1
    said = capsys.readouterr()
    assert said.out == '5\nnull\n[1, "x"]\n'
    assert "3 tasks: 2 succeeded, 1 failed" in said.err
    assert "  1 x rejected: takes (a: i32) · see: wasmgrid logs 5 --index 3" in said.err
    assert "again: wasmgrid rerun 5 --failed" in said.err


def test_quiet_and_json(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    server.respond = Grid([], job("succeeded", succeeded=3), [])
    assert main(["run", "x.wat", "--array", "2-4", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["run", "x.wat", "--array", "2-4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task_counts"] == {"succeeded": 3}
    assert not [asked for asked in server.asked if "/results" in asked.target]


def test_a_single_call_prints_its_value(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    done = {
        "id": 3, "state": "succeeded", "finished": True, "spec": {"function": "add"},
        "result": {"outcome": "exited", "exit_code": 0, "worker_id": "w1", "return_value": 5},
    }  # fmt: skip

    def respond(asked: Asked) -> Answer:
        kind = "text/event-stream"
        if asked.target.endswith("/events"):
            return Answer(f"event: job\ndata: {json.dumps(done)}\n\n".encode(), kind=kind)
        if "/logs" in asked.target:
            return Answer(b'event: end\ndata: {"state": "succeeded"}\n\n', kind=kind)
        return Answer(done)

    server.respond = respond
    assert main(["run", "x.wat", "--function", "add", "--", "2", "3"]) == 0
    assert capsys.readouterr().out == "5\n"


def test_results_as_the_servers_own_json(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"index": 4, "new": [1]}, {"index": 2}]
    server.respond = Grid([stream(lines[0], broken=True), stream(*lines)], job("succeeded", succeeded=3), [])
    assert main(["results", "5", "--failed", "--values"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines
    (asked, _) = (asked for asked in server.asked if "/results" in asked.target)
    assert asked.target == "/v1/jobs/5/results?failed=true&values=true"


def test_tasks_and_rerun(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    server.respond = lambda asked: (
        Answer({"id": 6, "state": "queued"}, 201)
        if asked.method == "POST"
        else Answer({"tasks": [{"index": 3, "outcome": "exited", "exit_code": 2}], "next_cursor": "4"})
    )
    assert main(["tasks", "5", "--failed", "--outcome", "exited", "-n", "1"]) == 0
    said = capsys.readouterr()
    assert "3      exited(2)" in said.out
    assert "there are more: --cursor 4" in said.err
    assert server.asked[-1].target == "/v1/jobs/5/tasks?failed=true&outcome=exited&limit=1"
    assert main(["rerun", "5", "--failed", "--memory-mb", "64", "--time-limit", "1m", "--detach"]) == 0
    assert capsys.readouterr().out == "6\n"
    posted = server.asked[-1]
    assert (posted.target, json.loads(posted.body)) == (
        "/v1/jobs/5/rerun?failed=true", {"memory_mb": 64, "time_limit_s": 60.0},
    )  # fmt: skip


def test_a_task_is_taken_home(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    spec: dict[str, object] = {"array": "0-9", "args": ["a{index}", "{{index}}"], "memory_mb": 16}
    done = {"id": 5, "state": "failed", "finished": True, "task_count": 10, "module_sha256": sha256_hex(b"w")}
    server.respond = lambda asked: Answer(b"w") if asked.target.endswith("module") else Answer({**done, "spec": spec})
    assert main(["repro", "5"]) == 2
    assert "say which: --index N" in capsys.readouterr().err
    assert main(["repro", "5", "--index", "7"]) == 0
    script = Path("repro-5/run.sh").read_text()
    assert "a7 '{index}'" in script
    assert "WASMGRID_TASK_INDEX=7" in script
    spec["lines"] = {"sha256": "ab" * 32}
    assert main(["repro", "5", "--index", "7", "-o", "other"]) == 125
    assert "the lines of job 5 cannot be had back" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    now = [0.0]
    screen = Terminal()
    with Bar(10, stream=screen, clock=lambda: now[0]) as drawn:
        drawn.see(Counts(total=10))
        assert screen.getvalue() == ""
        now[0] = bar.DELAY_S + 1
        drawn.see(Counts(total=10, succeeded=4, failed=1))
        assert drawn.above("printed\n")
    assert "5 of 10" in screen.getvalue()
    assert "1 failed" in screen.getvalue()
    assert "printed\n" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")


def test_elsewhere_a_line_comes_now_and_then() -> None:
    now = [0.0]
    log = io.StringIO()
    with Bar(10, stream=log, clock=lambda: now[0]) as drawn:
        for second in range(10):
            now[0] = float(second)
            drawn.see(Counts(total=10, succeeded=second))
    assert log.getvalue() == "5 of 10 · 1/s · 5 s left\n"
    with Bar(10, stream=log, quiet=True) as drawn:
        drawn.see(Counts(total=10))
        assert not drawn.above("x")


def test_hostile_48_what_tasks_print_steers_no_terminal() -> None:
    primary, secondary = os.openpty()
    try:
        with os.fdopen(secondary, "w", encoding="utf-8") as screen, Bar(1, quiet=True, stream=io.StringIO()) as drawn:
            printer = Printer(drawn, screen)
            printer.write(b"a\x1b[2Jb\r\nrest")
            printer.flush()
            printer.finish()
            said = b""
            while not said.endswith(b"rest"):
                said += os.read(primary, 1000)
    finally:
        os.close(primary)
    assert said == b"a\\x1b[2Jb\r\nrest"


def test_a_histogram() -> None:
    values = sorted([1.0] * 90 + [2.0] * 9 + [9.0])
    assert [quantile(values, share) for share in (0.5, 0.9, 0.91, 0.99, 1.0)] == [1.0, 1.0, 2.0, 2.0, 9.0]
    shown = rows(values)
    assert shown[0] == f"{'1.00 ms':>14} {'█' * 40} 90"
    assert shown[-1] == f"{'over 2.00 ms':>14} ████▌ 10"
    assert rows([3.0, 3.0]) == [f"{'3.00 ms':>14} {'█' * 40} 2"]
