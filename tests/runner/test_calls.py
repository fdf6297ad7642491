"""Functions that are called: shared instances, ranges of values, failures by name, and exports of plain numbers."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.runner.bench import Bench, Guest, Ran, file_input
from tests.runner.callee import callee

from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.worker.task import RunnerReport

pytestmark = pytest.mark.timeout(120)
_jobs = itertools.count(100)  # an instance is kept for the next calls of its job
CANCELLED = Outcome(kind=OutcomeKind.CANCELLED, message="by you")


def call(bench: Bench, *lines: str, module: str = "", function: str = "f", **rest: Any) -> Ran:
    """What calls with these lines give."""
    text = "\n".join(lines).encode()
    given = {
        "job_id": next(_jobs),
        "first": 10,
        "count": len(lines),
        "lines": text,
        "use": "call",
        "function": function,
        **rest,
    }
    return bench.run_all(module or callee(), **given)


def only(ran: Ran) -> RunnerReport:
    """The report of a run that gave one and nothing else."""
    assert (len(ran.reports), ran.ranges, ran.rest) == (1, [], []), ran
    return ran.reports[0]


def values(ran: Ran) -> dict[int, str]:
    """Every value, of ranges and reports, by index."""
    found = {report.index: report.return_value for report in ran.reports if report.return_value is not None}
    for part in ran.ranges:
        texts = part.values.decode().split("\n")
        assert len(texts) == part.count
        found.update(zip(range(part.first, part.first + part.count), texts, strict=True))
    return dict(sorted(found.items()))


def test_silent_calls_come_back_as_ranges_of_values(bench: Bench) -> None:
    ran = call(bench, *[f"[{n}]" for n in range(3000)])
    assert len(ran.reports) < 3000  # those that a busy machine held up are told one by one
    assert values(ran) == {10 + n: f"[{n}]" for n in range(3000)}
    assert ran.ranges[0].stats.wall_ms > 0
    assert ran.ranges[-1].stats.peak_memory_bytes == 4 * 65536
    assert ran.ranges[0].started_at <= ran.ranges[0].finished_at <= ran.ranges[-1].finished_at


def test_a_line_that_is_no_array_is_the_only_argument(bench: Bench) -> None:
    ran = call(bench, "7", ' "y"', '{"a": 1}', " [1, 2] ", "")
    assert list(values(ran).values()) == ["[7]", '["y"]', '[{"a": 1}]', "[1, 2]", "[]"]


def test_words_of_a_command_line_are_an_object(bench: Bench) -> None:
    ran = bench.run_all(callee(), function="f", first=4, count=2, args=["a b", "{index}"])
    assert list(values(ran).values()) == ['{"argv":["a b","4"]}', '{"argv":["a b","5"]}']


def test_calls_of_one_job_share_an_instance_between_chunks(bench: Bench) -> None:
    assert list(values(call(bench, *['["c"]'] * 3, job_id=71)).values()) == ["1", "2", "3"]
    assert list(values(call(bench, *['["c"]'] * 2, job_id=71)).values()) == ["4", "5"]
    assert list(values(call(bench, '["c"]', job_id=72)).values()) == ["1"]
    assert list(values(call(bench, *['["c"]'] * 3, job_id=72, isolate=True)).values()) == ["1", "1", "1"]
    assert list(values(call(bench, '["i"]', job_id=73)).values()) == ["7"]  # _initialize ran


def test_output_belongs_to_the_call_that_wrote_it(bench: Bench) -> None:
    ran = call(bench, "[1]", '["p"]', '["e"]', "[2]", "[3]")
    assert [(r.index, r.stdout.data, r.stderr.data, r.return_value) for r in ran.reports] == [
        (11, b"said!\n", b"", '["p"]'),
        (12, b"", b"said!\n", '["e"]'),
    ]
    assert [(part.first, part.count) for part in ran.ranges] == [(10, 1), (13, 2)]
    assert all(report.outcome.succeeded for report in ran.reports)


def test_files_in_out_are_the_artifacts_of_their_call(bench: Bench) -> None:
    ran = call(bench, "[1]", '["w"]', "[2]")
    assert [(r.index, [file.path for file in r.artifacts]) for r in ran.reports] == [(11, ["left"])]
    assert values(ran) == {10: "[1]", 11: '["w"]', 12: "[2]"}


def test_a_function_that_fails_says_so_on_stderr_and_in_its_outcome(bench: Bench) -> None:
    report = only(call(bench, '["f"]'))
    assert (report.outcome.kind, report.outcome.exit_code) == (OutcomeKind.EXITED, 1)
    assert (report.outcome.message, report.stderr.data) == ("it went wrong", b"it went wrong\n")
    assert report.return_value is None


def test_arguments_that_do_not_fit_are_refused_with_the_signature(bench: Bench) -> None:
    outcome = only(call(bench, '["u"]')).outcome
    assert (outcome.kind, outcome.message) == (OutcomeKind.REJECTED, "f wants a number: f(a: i32)")


@pytest.mark.parametrize(("letter", "words"), [("j", "no JSON"), ("b", "outside its memory"), ("h", "69999 bytes")])
def test_answers_that_make_no_sense_end_the_call(bench: Bench, letter: str, words: str) -> None:
    ran = call(bench, f'["{letter}"]', "[1]")
    assert not ran.reports[0].outcome.succeeded
    assert words in (ran.reports[0].outcome.message or "")
    assert values(ran) == {11: "[1]"}


def test_a_value_of_several_lines_is_put_on_one(bench: Bench) -> None:
    assert only(call(bench, '["n"]')).return_value == "[1,2]"


def test_a_trap_costs_the_instance_and_only_its_call(bench: Bench) -> None:
    ran = call(bench, '["c"]', '["t"]', '["c"]', '["x"]', '["c"]')
    assert [(r.index, r.outcome.kind) for r in ran.reports] == [(11, OutcomeKind.TRAPPED), (13, OutcomeKind.EXITED)]
    assert (ran.reports[0].outcome.trap_kind, ran.reports[1].outcome.exit_code) == ("unreachable", 3)
    assert values(ran) == {10: "1", 12: "1", 14: "1"}


def test_the_time_limit_is_each_calls_own(bench: Bench) -> None:
    ran = call(bench, "[1]", '["s"]', '["c"]', '["s"]', "[2]", wall_s=0.3)
    assert [(r.index, r.outcome.kind) for r in ran.reports] == [
        (11, OutcomeKind.TIMED_OUT),
        (13, OutcomeKind.TIMED_OUT),
    ]
    assert all(report.stats.wall_ms >= 250 and not report.crashed for report in ran.reports)
    assert values(ran) == {10: "[1]", 12: "1", 14: "[2]"}


def test_the_cpu_limit_is_each_calls_own(bench: Bench) -> None:
    ran = call(bench, "[1]", '["s"]', "[2]", cpu_s=0.2)
    assert [(r.index, r.outcome.kind) for r in ran.reports] == [(11, OutcomeKind.TIMED_OUT)]
    assert "cpu time" in (ran.reports[0].outcome.message or "")
    assert ran.reports[0].stats.cpu_ms >= 150


def test_memory_that_calls_have_filled_is_not_the_next_ones_fault(bench: Bench) -> None:
    ran = call(bench, *['["g"]'] * 20, memory_mb=17)  # 4 MB more at each call: the fifth would have none
    assert len(values(ran)) == 20
    assert all(report.outcome.succeeded for report in ran.reports)
    alone = only(call(bench, '["g"]', memory_mb=3, stdin=b"x"))
    assert alone.outcome.kind is OutcomeKind.TRAPPED


def test_fuel_is_each_calls_own(bench: Bench) -> None:
    ran = call(bench, "[1]", "[2]", '["s"]', "[3]", fuel=100_000)
    assert [(r.index, r.outcome.kind) for r in ran.reports] == [(12, OutcomeKind.OUT_OF_FUEL)]
    assert 0 < (ran.ranges[0].stats.fuel_used or 0) < 1000


def test_stop_ends_the_call_that_runs_and_gives_back_the_rest(bench: Bench) -> None:
    async def work() -> Ran:
        lines = b'[1]\n["s"]\n[2]\n[3]'
        task = await bench.task(callee(), function="f", first=5, count=4, lines=lines, use="call", array=True)
        running = asyncio.create_task(bench.run_chunk(task))
        async with asyncio.timeout(20):
            while (now := bench.runners.current(task.attempt)) is None or now.index != 6:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
        bench.runners.stop(task.attempt, CANCELLED)
        return await running

    ran = bench.wait(work())
    assert [(r.index, r.outcome) for r in ran.reports] == [(6, CANCELLED)]
    assert (values(ran), ran.rest) == ({5: "[1]"}, [(7, 2)])


def test_a_stop_between_two_calls_does_not_meet_the_next_run(bench: Bench) -> None:
    async def work(job_id: int) -> Ran:
        lines = b"\n".join(b"[%d]" % n for n in range(50_000))
        given: dict[str, Any] = {
            "function": "f",
            "job_id": job_id,
            "count": 50_000,
            "lines": lines,
            "use": "call",
            "array": True,
        }
        task = await bench.task(callee(), **given)
        running = asyncio.create_task(bench.run_chunk(task))
        async with asyncio.timeout(20):
            while bench.runners.current(task.attempt) is None:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)
        bench.runners.stop(task.attempt, CANCELLED)
        return await running

    for job_id in range(10, 15):
        ran = bench.wait(work(job_id))
        assert len(values(ran)) + sum(count for _, count in ran.rest) + len(ran.reports) >= 50_000
        assert values(call(bench, "[1]", job_id=job_id)) == {10: "[1]"}


def test_another_jobs_task_ends_the_instance(bench: Bench) -> None:
    assert values(call(bench, '["c"]', '["c"]', job_id=20)) == {10: "1", 11: "2"}
    assert bench.run(Guest().exit(4)).outcome.exit_code == 4
    assert values(call(bench, '["c"]', job_id=20)) == {10: "1"}


def test_inputs_are_there_for_calls_of_every_chunk(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"input")
    inputs = [(file_input("/in/data"), tmp_path / "data")]
    for _ in range(2):
        assert values(call(bench, '["c"]', '["r"]', job_id=21, inputs=inputs)) == {10: "1", 11: "0"}  # an errno


NUMBERS = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "wide") (param i64) (result i64) (local.get 0))
  (func (export "half") (param f32) (result f32) (f32.div (local.get 0) (f32.const 2)))
  (func (export "root") (param f64) (result f64) (f64.sqrt (local.get 0)))
  (func (export "both") (param i32) (result i32 f64) (local.get 0) (f64.const 0.5))
  (func (export "nothing"))
  (func (export "odd") (param externref)))"""


@pytest.mark.parametrize(
    ("function", "given", "value"),
    [
        ("add", "[2, 3]", "5"),
        ("add", "[4294967295, 1]", "0"),
        ("add", "[-5, 3]", "-2"),
        ("wide", "[9223372036854775807]", "9223372036854775807"),
        ("half", "[0.2]", "0.1"),
        ("half", "[3]", "1.5"),
        ("root", "[2]", "1.4142135623730951"),
        ("root", "[-1]", '"NaN"'),
        ("root", '["Infinity"]', '"Infinity"'),
        ("both", "[7]", "[7,0.5]"),
        ("nothing", "[]", "null"),
    ],
)
def test_an_export_of_numbers_is_called_as_it_is(bench: Bench, function: str, given: str, value: str) -> None:
    assert values(call(bench, given, module=NUMBERS, function=function)) == {10: value}


def test_words_are_numbers_too(bench: Bench) -> None:
    ran = bench.run_all(NUMBERS, function="add", args=["2", "3"])
    assert values(ran) == {0: "5"}


@pytest.mark.parametrize(
    ("function", "given", "words"),
    [
        ("add", "[2]", "1 arguments were given, 2 are taken; it is add(i32, i32) -> i32"),
        ("add", '[2, "x"]', "argument 2 is no i32: 'x'; it is add(i32, i32) -> i32"),
        ("add", "[2, true]", "argument 2 is no i32"),
        ("add", "[2, 1.5]", "argument 2 is no i32"),
        ("add", "[2, 4294967296]", "does not fit"),
        ("add", "[2", "no JSON"),
        ("both", "[]", "both(i32) -> (i32, f64)"),
        ("odd", "[1]", "something else than numbers"),
        ("sub", "[1, 2]", "no function sub; it exports add, both, half, nothing, odd, root, wide"),
    ],
)
def test_calls_that_do_not_fit_an_export_are_rejected(bench: Bench, function: str, given: str, words: str) -> None:
    outcome = only(call(bench, given, module=NUMBERS, function=function)).outcome
    assert outcome.kind is OutcomeKind.REJECTED
    assert words in (outcome.message or "")


def test_an_instance_that_cannot_be_made_fails_each_call(bench: Bench) -> None:
    ran = call(bench, "[1]", "[2]", module=callee(start="unreachable"))
    assert [r.outcome.kind for r in ran.reports] == [OutcomeKind.TRAPPED] * 2
    ran = call(bench, "[1]", "[2]", module=callee(initialize="(call $exit (i32.const 9))"))
    assert [r.outcome.exit_code for r in ran.reports] == [9, 9]
