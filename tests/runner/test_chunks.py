"""Many tasks in one runner, one after the other: what each is given, what each leaves, and what a death costs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from tests.runner.bench import Bench, Guest, Ran, file_input
from tests.runner.test_hostile_guests import DUMP

from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.worker.task import RangeReport, RunnerChunk, RunnerReport

pytestmark = pytest.mark.timeout(120)

CANCELLED = Outcome(kind=OutcomeKind.CANCELLED, message="by you")
ARGS = Guest().do(DUMP.replace("{name}", "args"))
ENVIRON = Guest().do(DUMP.replace("{name}", "environ"))
ECHO = Guest().do("(i32.store (i32.const 0) (i32.const 0))").echo()

# Reads its index, one digit at the end of WASMGRID_TASK_INDEX=…, and does what is said for it.
INDEX = """(drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
  (drop (call $environ_get (i32.const 2048) (i32.const 4096)))
  (local.set $i (i32.sub (i32.load8_u (i32.add (i32.const 4094) (i32.load (i32.const 4)))) (i32.const 48)))"""
SPIN = "(loop $forever (br $forever))"


def at(index: int, code: str) -> str:
    """`code` for that task only."""
    return f"(if (i32.eq (local.get $i) (i32.const {index})) (then {code}))"


def outputs(ran: Ran) -> list[bytes]:
    """Every task's stdout, in order."""
    return [report.stdout.data for report in ran.reports]


async def begun(bench: Bench, chunk: RunnerChunk, index: int) -> None:
    """Wait until that task of the chunk runs."""
    async with asyncio.timeout(20):
        while (now := bench.runners.current(chunk.attempt)) is None or now.index != index:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)


def test_every_task_has_its_own_result(bench: Bench) -> None:
    ran = bench.run_all(ENVIRON, first=7, count=300, env={"A": "1"})
    assert [report.index for report in ran.reports] == list(range(7, 307))
    assert outputs(ran) == [b"A=1\0WASMGRID_TASK_INDEX=%d\0" % n for n in range(7, 307)]
    assert all(report.outcome.succeeded and report.stats.wall_ms > 0 for report in ran.reports)
    assert all(one.finished_at <= other.started_at for one, other in zip(ran.reports, ran.reports[1:], strict=False))


@pytest.mark.parametrize(
    ("use", "args", "line", "expected"),
    [
        ("stdin", ["-n", "{index}"], "ignored here", "-n\0005\0"),
        ("line", ["{line}", "x{index}-{line}y"], "a b", "a b\0x5-a by\0"),
        ("line", ["{{index}}", "{{line}} {index}", "{other}"], "l", "{index}\0{line} 5\0{other}\0"),
        ("args", ["first"], """a 'b c' "d" ü""", "first\0a\0b c\0d\0ü\0"),
        ("json_args", ["{index}"], '["a b", 1, -2.50, "\\u00fc"]', "5\0a b\0001\0-2.50\0ü\0"),
    ],
)
def test_templates_and_lines_make_the_arguments(
    bench: Bench, use: str, args: list[str], line: str, expected: str
) -> None:
    ran = bench.run_all(ARGS, first=5, args=args, lines=line.encode(), use=use)
    assert outputs(ran) == [f"main.wasm\0{expected}".encode()]


def test_without_an_array_nothing_is_filled_in(bench: Bench) -> None:
    assert bench.run(ARGS, args=["{index}"]).stdout.data == b"main.wasm\0{index}\0"


@pytest.mark.parametrize(
    ("use", "line", "words"),
    [
        ("args", b"'open", "No closing quotation"),
        ("args", b"\xff", "no UTF-8"),
        ("args", b"a\0b", "NUL"),
        ("json_args", b"{}", "no JSON array of strings and numbers"),
        ("json_args", b"[true]", "no JSON array of strings and numbers"),
        ("json_args", b"[" * 5000, "no JSON array"),
    ],
)
def test_a_line_that_cannot_be_used_costs_only_its_task(bench: Bench, use: str, line: bytes, words: str) -> None:
    good = {"args": b"fine", "json_args": b'["fine"]'}[use]
    ran = bench.run_all(ARGS, count=3, lines=b"\n".join([good, line, good]), use=use)
    assert [report.outcome.kind for report in ran.reports] == [
        OutcomeKind.EXITED,
        OutcomeKind.REJECTED,
        OutcomeKind.EXITED,
    ]
    assert words in (ran.reports[1].outcome.message or "")
    assert ran.reports[2].stdout.data == b"main.wasm\0fine\0"


def test_each_line_is_a_tasks_stdin(bench: Bench) -> None:
    assert outputs(bench.run_all(ECHO, count=3, lines=b"one\n\nthree")) == [b"one\n", b"\n", b"three\n"]
    assert outputs(bench.run_all(ECHO, count=2, stdin=b"both")) == [b"both", b"both"]


def test_nothing_that_a_task_leaves_is_there_for_the_next(bench: Bench) -> None:
    guest = Guest().open("out/a").open("tmp/b").open("c")  # 0 where it is there
    guest.create("out/a", "A").create("tmp/b", "B").create("c", "C")
    ran = bench.run_all(guest.report(), count=4)
    assert len({report.stdout.data for report in ran.reports}) == 1
    assert 0 not in ran.reports[3].stdout.data[:3]
    assert [[file.local.read_bytes() for file in report.artifacts] for report in ran.reports] == [[b"A"]] * 4


def test_directories_that_a_task_changes_are_as_before_for_the_next(bench: Bench) -> None:
    guest = Guest().do(INDEX)
    moved = "(drop (call $path_rename (i32.const 3) {out} (i32.const 3) {other}))"
    guest.do(at(1, moved.format(out=guest.text("out"), other=guest.text("tmp/gone"))))
    guest.note("path_create_directory", 3, guest.text("out/new"))
    ran = bench.run_all(guest.report(), count=4)
    assert [report.stdout.data[0] == 0 for report in ran.reports] == [True, False, True, True]


def test_inputs_are_there_for_every_task_and_as_they_were(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"input")
    for writable in (False, True):
        guest = Guest().open("data", directory=3 if writable else 4).echo()
        guest.create("data", "x" * 3) if writable else guest.create("tmp/mine", "y")
        inputs = [(file_input("/in/data" if not writable else "/data", writable=writable), tmp_path / "data")]
        assert outputs(bench.run_all(guest, count=3, inputs=inputs)) == [b"input"] * 3


def test_output_limits_and_traps_are_each_tasks_own(bench: Bench) -> None:
    guest = Guest().do(INDEX).write("said").do(at(1, "unreachable")).do(at(2, "(call $proc_exit (i32.const 3))"))
    guest.do(at(3, f"(drop (call $write (i32.const 1) {guest.text('x' * 2000)}))"))
    ran = bench.run_all(guest, count=5, output_bytes=1000)
    assert [report.outcome.kind.value for report in ran.reports] == [
        "exited",
        "trapped",
        "exited",
        "output_limit",
        "exited",
    ]
    assert [report.outcome.exit_code for report in ran.reports] == [0, None, 3, None, 0]
    assert [len(data) for data in outputs(ran)] == [4, 4, 4, 1000, 4]


def test_hostile_26_the_time_limit_is_each_tasks_own(bench: Bench) -> None:
    ran = bench.run_all(Guest().do(INDEX).write("go").do(at(1, SPIN)), count=3, wall_s=0.3)
    assert [report.outcome.kind.value for report in ran.reports] == ["exited", "timed_out", "exited"]
    assert ran.reports[1].stats.wall_ms >= 250
    assert outputs(ran) == [b"go"] * 3


NAP = """(i64.store (i32.const 512) (i64.const 0)) (i32.store8 (i32.const 520) (i32.const 0))
    (i32.store (i32.const 528) (i32.const 1)) (i64.store (i32.const 536) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 512) (i32.const 600) (i32.const 1) (i32.const 700)))"""


def test_hostile_27_a_task_that_sleeps_for_ever_costs_the_runner_and_no_other_task(bench: Bench) -> None:
    async def work() -> Ran:
        return await bench.run_chunk(
            await bench.task(Guest().do(INDEX).write("z").do(at(2, NAP)), array=True, first=1, count=4, wall_s=0.3)
        )

    ran = bench.wait(work())
    assert [(r.index, r.outcome.kind.value, r.crashed) for r in ran.reports] == [
        (1, "exited", False),
        (2, "timed_out", False),
    ]
    assert (ran.rest, outputs(ran)) == ([(3, 2)], [b"z", b"z"])


def test_hostile_47_a_runner_that_dies_costs_only_the_task_that_ran(bench: Bench) -> None:
    async def work() -> Ran:
        guest = Guest().do(INDEX).write("said").do(at(3, SPIN))
        chunk = await bench.task(guest, array=True, count=6, tenant="mid-chunk")
        running = asyncio.create_task(bench.run_chunk(chunk))
        await begun(bench, chunk, 3)
        await bench.said_something(chunk, 3)
        os.kill(bench.runners.pid_of(chunk.attempt) or 0, signal.SIGKILL)
        return await running

    ran = bench.wait(work())
    assert [(r.index, r.outcome.kind.value, r.crashed) for r in ran.reports] == [
        *[(n, "exited", False) for n in range(3)],
        (3, "lost", True),
    ]
    assert (ran.rest, outputs(ran)) == ([(4, 2)], [b"said"] * 4)


@pytest.mark.parametrize("stop", [False, True])
def test_halt_lets_the_running_task_end_and_stop_does_not(bench: Bench, stop: bool) -> None:
    nap = NAP.replace("3600000000000", "400000000")

    async def work() -> Ran:
        guest = Guest().do(INDEX).do(at(1, SPIN if stop else nap)).write("done")
        chunk = await bench.task(guest, array=True, count=4)
        running = asyncio.create_task(bench.run_chunk(chunk))
        await begun(bench, chunk, 1)
        if stop:
            bench.runners.stop(chunk.attempt, CANCELLED)
        else:
            bench.runners.halt(chunk.attempt)
        return await running

    ran = bench.wait(work())
    assert [report.index for report in ran.reports] == [0, 1]
    assert ran.rest == [(2, 2)]
    assert ran.reports[1].outcome == CANCELLED if stop else ran.reports[1].stdout.data == b"done"
    bench.check_alive()


def test_a_chunk_that_is_halted_before_it_begins_is_all_given_back(bench: Bench) -> None:
    async def work() -> Ran:
        chunk = await bench.task(Guest(), array=True, count=4, tenant="halted", disk_mb=7)
        running = asyncio.create_task(bench.run_chunk(chunk))
        while chunk.attempt not in bench.runners.live:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        bench.runners.halt(chunk.attempt)
        return await running

    assert bench.wait(work()) == Ran([], [], [(0, 4)])


def test_results_come_while_a_long_task_runs_behind_them(bench: Bench) -> None:
    async def work() -> list[int]:
        chunk = await bench.task(Guest().do(INDEX).do(at(3, SPIN)), array=True, count=5)
        heard: list[int] = []
        arrived = asyncio.Event()

        def hear(reports: list[RunnerReport], _ranges: list[RangeReport]) -> None:
            heard.extend(report.index for report in reports)
            if len(heard) == 3:
                arrived.set()

        running = asyncio.create_task(bench.runners.run_chunk(chunk, hear))
        async with asyncio.timeout(20):
            await arrived.wait()
        bench.runners.stop(chunk.attempt, CANCELLED)
        assert await running == [(4, 1)]
        return heard

    assert bench.wait(work()) == [0, 1, 2, 3]


def test_tail_follows_the_task_that_runs(bench: Bench) -> None:
    async def work() -> None:
        guest = Guest().do(INDEX).write("task").do(at(1, NAP))
        chunk = await bench.task(guest, array=True, count=3)
        running = asyncio.create_task(bench.run_chunk(chunk))
        await bench.said_something(chunk, 1)
        now, over, unbegun = [
            await bench.runners.tail((chunk.attempt, index), stdout_offset=0, stderr_offset=0) for index in (1, 0, 2)
        ]
        assert (now.stdout, now.known) == (b"task", True)
        assert (over.known, over.ended) == (False, True)
        assert (unbegun.stdout, unbegun.known) == (b"", True)
        bench.runners.stop(chunk.attempt, CANCELLED)
        await running

    bench.wait(work())


def test_a_module_that_cannot_start_refuses_every_task(bench: Bench) -> None:
    ran = bench.run_all('(module (import "env" "f" (func)) (func (export "_start")))', count=3)
    assert [report.outcome.kind for report in ran.reports] == [OutcomeKind.REJECTED] * 3


def test_much_output_of_many_tasks_arrives_whole(bench: Bench) -> None:
    guest = Guest(pages=4).do("(memory.fill (i32.const 65536) (i32.const 120) (i32.const 65536))")
    guest.do("(drop (call $write (i32.const 1) (i32.const 65536) (i32.const 65536)))")
    ran = bench.run_all(guest, count=200)
    assert [len(data) for data in outputs(ran)] == [65536] * 200
