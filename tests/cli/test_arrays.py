"""Many tasks on the command line: what flags make of a request, order, pace, and what is said at the end."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.cli import arraytext, ending, tables
from wasmgrid.cli.main import main
from wasmgrid.core.job import Stats
from wasmgrid.sdk.counts import Counts
from wasmgrid.sdk.inorder import InOrder
from wasmgrid.sdk.meter import Meter
from wasmgrid.sdk.views import Job, Result, Spec

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUANTILES = {"wall_ms": {"p50": 0.1, "p90": 0.2, "max": 3.0}, "peak_memory_bytes": {"p50": 65536, "max": 131072}}
ARRAY = Job(
    id=5, state="failed", finished=True, submitted_at=NOW, started_at=NOW, finished_at=NOW + timedelta(seconds=2),
    spec=Spec(array="0-99"), task_count=100, task_counts={"succeeded": 97, "failed": 3}, stats=QUANTILES,
)  # fmt: skip


def test_the_summary() -> None:
    assert arraytext.summary(ARRAY) == (
        "100 tasks: 97 succeeded, 3 failed · 2.00 s · 50.0 tasks/s · run p50 100 us, max 3 ms"
    )
    waiting = msgspec.structs.replace(ARRAY, finished_at=None, task_counts={"queued": 100}, stats=None)
    assert arraytext.summary(waiting) == "100 tasks: 100 waiting"


def test_failures_are_grouped_by_how_they_ended() -> None:
    failed = [
        Result(index=7, outcome="trapped", trap_kind="unreachable", message="no\x1b[2J"),
        *(Result(index=index, outcome="exited", exit_code=3) for index in (1, 9)),
    ]
    assert arraytext.failures(ARRAY, failed) == [
        "  2 x exited(3) · see: wasmgrid logs 5 --index 1",
        "  1 x trapped(unreachable): no\\x1b[2J · see: wasmgrid logs 5 --index 7",
        "all of them: wasmgrid tasks 5 --failed · again: wasmgrid rerun 5 --failed",
    ]
    many = [Result(index=index, outcome="exited", exit_code=index) for index in range(1, 3)] * 2
    more = msgspec.structs.replace(ARRAY, task_counts={"failed": 90})
    assert arraytext.failures(more, many)[0].startswith("  at least 2 x exited(1)")
    assert arraytext.failures(ARRAY, []) == []


def test_status_says_where_the_tasks_are() -> None:
    counts = {"succeeded": 40, "running": 2, "queued": 58}
    live = msgspec.structs.replace(ARRAY, state="running", finished=False, finished_at=None, task_counts=counts)
    said = dict(arraytext.details(live, NOW + timedelta(seconds=4)))
    assert said == {
        "tasks": "100 tasks: 40 succeeded, 2 running, 58 waiting",
        "rate": "10.0 tasks/s, 6 s left",
        "run": "p50 100 us, max 3 ms",
        "peak": "p50 64.0 KiB, max 128.0 KiB",
    }


def test_the_table_of_tasks() -> None:
    stats = Stats(wall_ms=1.0, cpu_ms=1.0, peak_memory_bytes=65536)
    found = [
        Result(index=0, outcome="exited", exit_code=0, worker_id="w1", stats=stats, return_value=["é", 5]),
        Result(index=12, outcome="timed_out", worker_id="w1", message="ran longer than its limit of 1 s"),
        Result(index=13, outcome="exited", exit_code=1, stdout="first\n", stderr="what\nwent wrong\n"),
        Result(index=14, outcome="exited", exit_code=0, stdout="first\nsecond\n"),
    ]
    assert tables.tasks(found).splitlines() == [
        "INDEX  OUTCOME    RUN   CPU   PEAK      WORKER  SAID",
        '0      exited(0)  1 ms  1 ms  64.0 KiB  w1      ["é", 5]',
        "12     timed_out  -     -     -         w1      ran longer than its limit of 1 s",
        "13     exited(1)  -     -     -         -       what",
        "14     exited(0)  -     -     -         -       first",
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(5, "5"), ("a b", "a b"), (None, ""), ([1.5, "x"], '[1.5,"x"]'), (True, "true"), ("", "")]
)
def test_a_value_for_a_person(value: object, shown: str) -> None:
    assert arraytext.value(value) == shown


def test_pace() -> None:
    meter = Meter(1000)
    meter.see(Counts(total=1000), 0.0)
    assert (meter.rate, meter.left_s, meter.text()) == (0.0, None, "0 of 1,000")
    meter.see(Counts(total=1000, succeeded=190, failed=10), 1.0)
    assert (meter.rate, meter.left_s) == (200.0, 4.0)
    assert meter.text() == "200 of 1,000 · 200/s · 4 s left · 10 failed"
    for second in range(2, 30):  # it slows down: only the last seconds count
        meter.see(Counts(total=1000, succeeded=200 + second), float(second))
    assert meter.rate == pytest.approx(1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=6), st.randoms(), st.booleans())
def test_what_comes_in_any_order_is_given_in_order(
    gaps: list[tuple[int, int]], chance: random.Random, large: bool
) -> None:
    runs, at = [], 0
    for gap, count in gaps:
        runs.append((at + gap, count))
        at += gap + count
    indexes = [index for first, count in runs for index in range(first, first + count)]
    coming = indexes.copy()
    chance.shuffle(coming)
    given_on: list[bytes] = []
    with InOrder(runs, given_on.append, lambda index: given_on.append(b"fetched %d" % index)) as ordered:
        for number, index in enumerate(coming, start=1):
            ordered.put(index, None if large and index % 3 == 0 else b"%d" % index)
            there = set(coming[:number])
            prefix = next((place for place, each in enumerate(indexes) if each not in there), len(indexes))
            assert len(given_on) == prefix
        ordered.finish()
    assert given_on == [b"fetched %d" % index if large and index % 3 == 0 else b"%d" % index for index in indexes]


def test_what_never_came_is_left_out() -> None:
    given_on: list[bytes] = []
    with InOrder([(0, 5)], given_on.append, lambda _: None) as ordered:
        for index in (4, 1, 2):
            ordered.put(index, b"%d" % index)
        assert given_on == []
        ordered.finish()
    assert given_on == [b"1", b"2", b"4"]


def test_a_million_that_wait_for_the_first_cost_little_memory() -> None:
    count, size = 200_000, 0

    def write(piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    tracemalloc.start()
    try:
        with InOrder([(0, count)], write, lambda _: None) as ordered:
            for index in range(1, count):
                ordered.put(index, b"x" * 100)
            ordered.put(0, b"x" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 100 * count
    assert peak < 20 << 20


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A server that is configured, and a program beside some inputs."""
    with serving() as script:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", script.url)
        monkeypatch.chdir(tmp_path)
        for name, text in (("x.wat", "(module)"), ("lines", "a\nb c\n"), ("in.json", '[[2, 3], ["x"]]')):
            Path(name).write_text(text)
        yield script


def submitted(server: Scripted) -> tuple[dict[str, Any], bytes | None]:
    """(the request, the lines that were uploaded for it)."""
    posted = [asked for asked in server.asked if asked.method == "POST"]
    uploaded = [asked.body for asked in server.asked if asked.method == "PUT"]
    request = {
        key: value for key, value in json.loads(posted[-1].body).items() if key not in {"source", "idempotency_key"}
    }
    return request, uploaded[-1] if uploaded else None


@pytest.mark.parametrize(
    ("flags", "request_has", "use", "text"),
    [
        (["--array", "0-9"], {"array": "0-9"}, None, None),
        (["--each-line", "lines"], {}, "stdin", b"a\nb c\n"),
        (["--each-line", "lines", "--as-args"], {}, "args", b"a\nb c\n"),
        (["--each-line", "lines", "--", "-n", "{line}"], {"args": ["-n", "{line}"]}, "line", b"a\nb c\n"),
        (["--each-line", "lines", "--", "{{line}}"], {"args": ["{{line}}"]}, "stdin", b"a\nb c\n"),
        (["--from-json", "in.json"], {}, "stdin", b'[2,3]\n["x"]\n'),
        (["--from-json", "in.json", "--as-args"], {}, "json_args", b'[2,3]\n["x"]\n'),
        (["--from-json", "in.json", "--function", "f"], {"function": "f"}, "call", b'[2,3]\n["x"]\n'),
        (["--each-line", "lines", "--function", "f"], {"function": "f"}, "args", b"a\nb c\n"),
        (["--function", "f", "--isolate"], {"function": "f", "isolate": True}, None, None),
        (["--function", "f", "--", "2", "-3"], {"function": "f", "args": ["2", "-3"]}, None, None),
        (["--array", "3,7", "--max-fails", "0"], {"array": "3,7", "max_fails": 0}, None, None),
        (["--array", "3,7", "--concurrency", "2"], {"array": "3,7", "concurrency": 2}, None, None),
    ],
)  # fmt: skip
def test_what_flags_ask_for(
    server: Scripted, flags: list[str], request_has: dict[str, Any], use: str | None, text: bytes | None
) -> None:
    uploaded: list[str] = []

    def respond(asked: Asked) -> Answer:
        if asked.method == "PUT":
            uploaded.append(asked.target)
        if asked.method == "HEAD":
            return Answer(b"", 404)
        if asked.method == "POST" and use and not uploaded:
            return Answer({"status": 422, "code": "input_not_found", "detail": "missing"}, 422)
        return Answer({"id": 3, "state": "queued"}, 201)

    server.respond = respond
    assert main(["submit", "x.wat", *flags]) == 0
    request, sent = submitted(server)
    lines = request.pop("lines", None)
    assert request == request_has
    assert (lines and lines["use"], sent) == (use, text)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--each-line", "lines", "--from-json", "in.json"], "not both"),
        (["--as-args"], "--as-args is about lines"),
        (["--isolate"], "--isolate is about calls"),
        (["--max-fails", "3"], "--max-fails is about many tasks"),
        (["--concurrency", "3"], "--concurrency is about many tasks"),
        (["--concurrency", "0", "--array", "0-3"], "is not in the range"),
        (["--each-line", "lines", "--stdin", "lines"], "--stdin goes with"),
        (["--each-line", "-", "--stdin", "-"], "cannot be both --stdin and --each-line"),
        (["--array", "9-0"], "ends before it begins"),
        (["--array", "x"], "no range of indexes"),
        (["--each-line", "nothing-there"], "cannot be read"),
        (["--from-json", "nothing-there"], "cannot be read"),
        (["--from-json", "x.wat"], "no JSON"),
    ],
)
def test_flags_that_contradict(
    server: Scripted, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "x.wat", *flags]) == 2
    assert said in capsys.readouterr().err
    assert server.asked == []


def test_an_array_that_never_ran_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    class Nobody:
        def send(self, call: object) -> Any:
            raise AssertionError(call)

    cancelled = msgspec.structs.replace(
        ARRAY, state="cancelled", state_reason="cancelled before it ran", task_counts={"cancelled": 100}, stats=None
    )
    assert ending.tell(cancelled, Nobody()) == 130  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "error[cancelled]: cancelled before it ran" in said
    assert "100 tasks: 100 cancelled" in said


def test_every_line_of_stdin_is_a_task(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"1\n2\n")

    monkeypatch.setattr("sys.stdin", Stdin())
    server.respond = lambda asked: Answer({"id": 3}, 201)
    assert main(["submit", "x.wat", "--each-line", "-", "--as-args"]) == 0
    request, _ = submitted(server)
    assert request["lines"]["use"] == "args"
