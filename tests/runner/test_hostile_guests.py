"""What guests see of the world, and how their ends are told. Numbers are rows of HOSTILE.md."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from tests.runner.bench import Bench, Guest

from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.worker.task import RunnerReport

pytestmark = pytest.mark.timeout(120)


def rejected(bench: Bench, module: str) -> str:
    """The message of a module that cannot be started."""
    outcome = bench.run(module).outcome
    assert outcome.kind is OutcomeKind.REJECTED, outcome
    bench.check_alive()
    return outcome.message or ""


def test_hostile_21_unknown_import_is_named_and_escaped(bench: Bench) -> None:
    message = rejected(bench, '(module (import "env\\1b[31m" "f\\00x" (func)) (func (export "_start")))')
    assert "unknown import" in message
    assert "\\u{1b}[31m" in message
    assert message.isprintable()


def test_hostile_22_no_start_lists_the_exports(bench: Bench) -> None:
    message = rejected(bench, '(module (func (export "run")) (func (export "turn")))')
    assert "_start" in message
    assert "'run', 'turn'" in message


def test_a_start_that_is_no_function_or_wants_parameters(bench: Bench) -> None:
    assert "_start" in rejected(bench, '(module (memory (export "_start") 1))')
    assert "parameters" in rejected(bench, '(module (func (export "_start") (param i32)))')


def test_hostile_28_stdin_ends_at_once(bench: Bench) -> None:
    begun = time.monotonic()
    guest = Guest().do("(i32.store (i32.const 0) (i32.const 0))").echo().report()
    assert bench.run(guest).stdout.data == b"\0"
    assert time.monotonic() - begun < 10


def test_stdin_from_bytes_and_from_a_file(bench: Bench, tmp_path: Path) -> None:
    guest = Guest().do("(i32.store (i32.const 0) (i32.const 0))").echo()
    assert bench.run(guest, stdin=b"inline").stdout.data == b"inline"
    (tmp_path / "stdin").write_bytes(b"from a file")
    assert bench.run(guest, stdin=tmp_path / "stdin").stdout.data == b"from a file"


def test_hostile_35_thread_spawn_is_unsupported(bench: Bench) -> None:
    spawn = '(module (import "wasi" "thread-spawn" (func (param i32) (result i32))) (func (export "_start")))'
    assert "wasi::thread-spawn" in rejected(bench, spawn)
    shared = bench.wait(bench.prepare('(module (memory 1 2 shared) (func (export "_start")))'))
    assert shared.kind is OutcomeKind.REJECTED
    assert "threads" in shared.message


DUMP = """(drop (call ${name}_sizes_get (i32.const 0) (i32.const 4)))
  (drop (call ${name}_get (i32.const 2048) (i32.const 4096)))
  (drop (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 4))))"""


def test_hostile_43_environment_dump(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMGRID_SECRET", "do not tell")
    dump = Guest().do(DUMP.replace("{name}", "environ"))
    assert bench.run(dump).stdout.data == b""
    assert bench.run(dump, env={"A": "1", "B": "zwei ü"}).stdout.data == "A=1\0B=zwei ü\0".encode()


def test_arguments(bench: Bench) -> None:
    dump = Guest().do(DUMP.replace("{name}", "args"))
    assert bench.run(dump, args=["--x", "", "ü"]).stdout.data == "main.wasm\0--x\0\0ü\0".encode()


@pytest.mark.parametrize("code", [0, 1, 42, 126, 255])
def test_hostile_44_exit_codes(bench: Bench, code: int) -> None:
    outcome = bench.run(Guest().exit(code)).outcome
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.EXITED, code)


TRAPS = {
    "unreachable": "unreachable",
    "integer_division_by_zero": "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
    "memory_out_of_bounds": "(drop (i32.load (i32.const 100000000)))",
    "integer_overflow": "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
    "bad_conversion_to_integer": "(drop (i32.trunc_f32_s (f32.const nan)))",
}


@pytest.mark.parametrize("kind", TRAPS)
def test_hostile_45_traps(bench: Bench, kind: str) -> None:
    outcome = bench.run(Guest().define(f"(func $culprit {TRAPS[kind]})").do("(call $culprit)")).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, kind)
    lines = (outcome.backtrace or "").splitlines()
    assert lines[0].split() == ["0:", "culprit"]
    assert len(lines) == 2
    assert outcome.message


def test_hostile_45_names_are_demangled(bench: Bench) -> None:
    guest = Guest().define("(func $_ZN4core9panicking5panic17h0123456789abcdefE unreachable)")
    guest.define("(func $f (call $_ZN4core9panicking5panic17h0123456789abcdefE))").do("(call $f)")
    lines = (bench.run(guest).outcome.backtrace or "").splitlines()
    assert [line.split(":", 1)[1].strip() for line in lines[:2]] == ["core::panicking::panic", "f"]


def test_an_uncaught_exception(bench: Bench) -> None:
    outcome = bench.run(Guest().define("(tag $t)").do("(throw $t)")).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "uncaught_exception")


def test_hostile_46_network_use(bench: Bench) -> None:
    connect = '(import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))'
    assert "sock_open" in rejected(bench, f'(module {connect} (func (export "_start")))')
    guest = Guest().note("sock_accept", 3, 0, 0).note("sock_accept", 1, 0, 0).report()
    assert 0 not in bench.run(guest).stdout.data


def test_hostile_47_runner_crash(bench: Bench) -> None:
    async def crash(number: signal.Signals) -> RunnerReport:
        task = await bench.task(Guest().write("said").do("(loop $forever (br $forever))"), tenant="crash")
        running = asyncio.create_task(bench.run_task(task))
        await bench.said_something(task)
        os.kill(bench.runners.pid_of(task.attempt) or 0, number)
        return await running

    for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGBUS):
        report = bench.wait(crash(number))
        assert report.crashed
        assert report.outcome.kind is OutcomeKind.LOST
        assert number.name in (report.outcome.message or "")
        assert report.stdout.data == b"said"
        bench.check_alive()


def test_stats_say_what_was_used(bench: Bench) -> None:
    stats = bench.run(Guest(pages=9).write("12345").write("678", to="(i32.const 2)")).stats
    assert stats.peak_memory_bytes == 9 * 65536
    assert stats.output_bytes == 8
    assert stats.instantiate_ms > 0
    assert stats.wall_ms > 0
    assert stats.fuel_used is None
