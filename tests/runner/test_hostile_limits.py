"""Guests that want more time, memory, output or disk than they may have. Numbers are rows of HOSTILE.md."""

from __future__ import annotations

import time

import pytest
from tests.runner.bench import Bench, Guest

from wasmgrid.core.limits import MB
from wasmgrid.core.outcome import OutcomeKind

pytestmark = pytest.mark.timeout(120)

GENEROUS_S = 5.0  # what a busy machine may add to any bound


def test_hostile_26_infinite_loop(bench: Bench) -> None:
    begun = time.monotonic()
    report = bench.run(Guest().write("before").do("(loop $forever (br $forever))"), wall_s=0.3)
    assert report.outcome.kind is OutcomeKind.TIMED_OUT
    assert report.stdout.data == b"before"
    assert not report.crashed
    assert 250 <= report.stats.wall_ms < (0.3 + GENEROUS_S) * 1000
    assert time.monotonic() - begun < GENEROUS_S
    bench.check_alive()


def test_hostile_26_a_start_function_that_never_ends(bench: Bench) -> None:
    guest = Guest()
    guest.define("(func $spin (loop $forever (br $forever))) (start $spin)")
    assert bench.run(guest, wall_s=0.2).outcome.kind is OutcomeKind.TIMED_OUT
    bench.check_alive()


def test_a_start_function_that_exits(bench: Bench) -> None:
    guest = Guest().define("(func $out (call $proc_exit (i32.const 5))) (start $out)")
    assert bench.run(guest).outcome.exit_code == 5
    bench.check_alive()


def test_a_start_function_that_traps(bench: Bench) -> None:
    outcome = bench.run(Guest().define("(func $bad unreachable) (start $bad)")).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "unreachable")
    bench.check_alive()


SLEEP_AN_HOUR = """
    (i64.store (i32.const 512) (i64.const 0)) (i32.store8 (i32.const 520) (i32.const 0))
    (i32.store (i32.const 528) (i32.const 1)) (i64.store (i32.const 536) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 512) (i32.const 600) (i32.const 1) (i32.const 700)))"""


def test_hostile_27_sleep_for_ever(bench: Bench) -> None:
    begun = time.monotonic()
    report = bench.run(Guest().write("zzz").do(SLEEP_AN_HOUR), wall_s=0.3)
    assert report.outcome.kind is OutcomeKind.TIMED_OUT
    assert not report.crashed  # it was killed on purpose
    assert report.stdout.data == b"zzz"  # what it said before is kept
    assert report.stats.peak_memory_bytes == 2 * 65536  # and what it used is known
    assert report.stats.wall_ms >= 300
    assert time.monotonic() - begun < GENEROUS_S
    bench.check_alive()


def test_a_sleeping_guest_uses_no_cpu_time(bench: Bench) -> None:
    nap = SLEEP_AN_HOUR.replace("3600000000000", "300000000")
    report = bench.run(Guest().do(nap).exit(3), wall_s=10.0)
    assert report.outcome.exit_code == 3
    assert report.stats.wall_ms >= 300
    assert report.stats.cpu_ms < 200


def test_cpu_limit_of_a_guest_that_computes(bench: Bench) -> None:
    report = bench.run(Guest().do("(loop $forever (br $forever))"), wall_s=60.0, cpu_s=0.2)
    assert report.outcome.kind is OutcomeKind.TIMED_OUT
    assert "cpu time" in (report.outcome.message or "")
    assert report.stats.cpu_ms >= 150  # its clock starts a little before the guest does


def test_hostile_29_memory_grow_to_the_maximum(bench: Bench) -> None:
    guest = Guest()
    # Page by page until it is refused; then it dies, as programs do whose allocation failed.
    guest.do("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))").do("unreachable")
    report = bench.run(guest, memory_mb=20)
    assert report.outcome.kind is OutcomeKind.OUT_OF_MEMORY, report.outcome
    assert report.stats.peak_memory_bytes == 20 * MB
    assert report.outcome.backtrace


def test_hostile_29_a_refused_growth_that_a_guest_survives(bench: Bench) -> None:
    guest = Guest()
    guest.do("(call $proc_exit (i32.add (memory.grow (i32.const 65000)) (i32.const 1)))")
    report = bench.run(guest, memory_mb=20)
    assert report.outcome.exit_code == 0  # -1 + 1
    assert report.stats.peak_memory_bytes == 2 * 65536


def test_hostile_29_a_runtime_that_says_it_is_out_of_memory(bench: Bench) -> None:
    guest = Guest()
    guest.write("memory allocation of 99999999 bytes failed\n", to="(i32.const 2)").do("unreachable")
    assert bench.run(guest, memory_mb=20).outcome.kind is OutcomeKind.OUT_OF_MEMORY


def test_a_trap_with_memory_to_spare_is_a_trap(bench: Bench) -> None:
    outcome = bench.run(Guest().do("unreachable"), memory_mb=20).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "unreachable")


def test_a_trap_with_much_memory_taken_gets_a_hint(bench: Bench) -> None:
    guest = Guest().do("(drop (memory.grow (i32.const 200))) unreachable")
    outcome = bench.run(guest, memory_mb=20).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "unreachable")
    assert "12.6 MiB of 20 MB" in (outcome.message or "")


def test_a_module_that_starts_above_its_limit_is_told_so(bench: Bench) -> None:
    outcome = bench.run(Guest(pages=1000), memory_mb=20).outcome
    assert outcome.kind is OutcomeKind.REJECTED
    assert "and memory_mb is " in (outcome.message or "")


def test_hostile_30_four_memories(bench: Bench) -> None:
    module = '(module (memory 1) (memory 1) (memory 1) (memory 1) (func (export "_start")))'
    outcome = bench.wait(bench.prepare(module))
    assert outcome.kind is OutcomeKind.REJECTED
    assert "multiple memories" in outcome.message


def test_hostile_31_table_grow(bench: Bench) -> None:
    guest = Guest()
    guest.define("(table $t 1 funcref)")
    grow = "(table.grow $t (ref.null func) (i32.const 100000000))"
    assert bench.run(guest.do(f"(call $proc_exit (i32.add {grow} (i32.const 1)))")).outcome.exit_code == 0


def test_modules_that_the_pool_refuses_still_run(bench: Bench) -> None:
    for tables in ("(table 500000 funcref)", "(table 1 funcref) " * 8):
        module = f'(module {tables} (func (export "_start")))'
        assert bench.run(module).outcome.exit_code == 0


GC = """(module (type $bytes (array (mut i8))) (type $list (struct (field (ref null $list)) (field (ref $bytes))))
  (func (export "_start") (local $kept (ref null $list)) (local $i i32)
    (loop $more
      (local.set $kept (struct.new $list (local.get $kept) (array.new $bytes (i32.const 0) (i32.const 1000000))))
      (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 160))))))"""


def test_hostile_32_gc_heap_of_160_mb(bench: Bench) -> None:
    outcome = bench.run(GC, memory_mb=100).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "gc_heap_out_of_memory")
    bench.check_alive()


RECURSE = "(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))"


def test_hostile_33_infinite_recursion(bench: Bench) -> None:
    outcome = bench.run(Guest().define(RECURSE).do("(drop (call $down (i32.const 1)))")).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "stack_overflow")
    assert (outcome.backtrace or "").count("\n") < 60
    bench.check_alive()


def test_hostile_33_recursion_with_host_calls_at_the_bottom(bench: Bench) -> None:
    guest = Guest().define(
        """(func $down (param i32) (result i32)
             (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 24)))
             (drop (call $random_get (i32.const 32) (i32.const 8)))
             (i32.add (i32.const 1) (call $down (local.get 0))))"""
    )
    outcome = bench.run(guest.do("(drop (call $down (i32.const 1)))")).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "stack_overflow")
    bench.check_alive()


def test_recursion_as_deep_as_a_native_program(bench: Bench) -> None:
    guest = Guest()
    guest.define(
        """(func $count (param $n i32) (result i32)
             (if (result i32) (i32.eqz (local.get $n)) (then (i32.const 0))
               (else (i32.add (i32.const 1) (call $count (i32.sub (local.get $n) (i32.const 1)))))))"""
    )
    same = "(i32.ne (call $count (i32.const 150000)) (i32.const 150000))"
    assert bench.run(guest.do(f"(call $proc_exit {same})")).outcome.exit_code == 0


def test_hostile_34_long_memory_copy_loop(bench: Bench) -> None:
    copy = "(memory.copy (i32.const 0) (i32.const 16777216) (i32.const 16777216))"
    module = Guest(pages=520).do(f"(loop $forever {copy} (br $forever))")
    begun = time.monotonic()
    assert bench.run(module, wall_s=0.3).outcome.kind is OutcomeKind.TIMED_OUT
    assert time.monotonic() - begun < GENEROUS_S
    bench.check_alive()


def test_hostile_36_random_get_of_131_mb(bench: Bench) -> None:
    module = Guest(pages=2100).do("(drop (call $random_get (i32.const 0) (i32.const 131072000)))")
    outcome = bench.run(module, memory_mb=200).outcome
    assert (outcome.kind, outcome.trap_kind) == (OutcomeKind.TRAPPED, "host_error")
    assert "exceeds limit" in (outcome.message or "")
    bench.check_alive()


def test_hostile_37_a_million_clock_calls(bench: Bench) -> None:
    guest = Guest()
    guest.do(
        """(loop $again (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)))
             (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000000))))"""
    )
    assert bench.run(guest, wall_s=60.0).outcome.exit_code == 0


FLOOD = "(loop $forever (drop (call $write (i32.const 1) (i32.const 0) (i32.const 65536))) (br $forever))"


def test_hostile_39_stdout_of_gigabytes(bench: Bench) -> None:
    report = bench.run(Guest().write("head ").do(FLOOD), output_bytes=1_000_003)
    assert report.outcome.kind is OutcomeKind.OUTPUT_LIMIT
    assert report.stdout.size == 1_000_003
    assert report.stdout.truncated
    assert report.stdout.data.startswith(b"head ")
    assert report.stdout.path is not None
    assert report.stdout.path.stat().st_size == 1_000_003
    assert not report.stderr.size
    bench.runners.release((report.attempt, report.index))
    assert not report.stdout.path.exists()
    bench.check_alive()


def test_hostile_39_small_cap(bench: Bench) -> None:
    report = bench.run(Guest().write("12345678").exit(0), output_bytes=5)
    assert report.outcome.kind is OutcomeKind.OUTPUT_LIMIT
    assert (report.stdout.data, report.stdout.truncated, report.stdout.tail) == (b"12345", True, b"678")


def test_output_of_exactly_the_cap_is_fine(bench: Bench) -> None:
    report = bench.run(Guest().write("12345"), output_bytes=5)
    assert (report.outcome.exit_code, report.stdout.data, report.stdout.truncated) == (0, b"12345", False)


def test_truncated_output_lets_the_guest_finish(bench: Bench) -> None:
    guest = Guest()
    guest.do(
        """(loop $more (drop (call $write (i32.const 1) (i32.const 0) (i32.const 65536)))
             (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 500))))"""
    )
    report = bench.run(guest.write("the end").exit(7), output_bytes=100_000, truncate_output=True)
    assert report.outcome.exit_code == 7
    assert (report.stdout.size, report.stdout.truncated) == (100_000, True)
    assert report.stdout.tail.endswith(b"the end")
    assert len(report.stdout.tail) <= 4096


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131072])
def test_output_around_what_travels_inline(bench: Bench, size: int) -> None:
    guest = Guest(pages=8).do(f"(drop (call $write (i32.const 1) (i32.const 0) (i32.const {size})))")
    stdout = bench.run(guest).stdout
    assert stdout.size == size
    assert (stdout.path is not None) == (size > 65536)
    assert stdout.path is None or len(stdout.path.read_bytes()) == size
    assert len(stdout.data) == min(size, 65536)


def test_stderr_is_capped_as_well(bench: Bench) -> None:
    report = bench.run(Guest().do(FLOOD.replace("(i32.const 1)", "(i32.const 2)", 1)), output_bytes=300_000)
    assert report.outcome.kind is OutcomeKind.OUTPUT_LIMIT
    assert (report.stdout.size, report.stderr.size) == (0, 300_000)


def test_fuel_is_metered_and_runs_out(bench: Bench) -> None:
    counted = bench.run(Guest().write("x"), fuel=1_000_000)
    assert counted.outcome.exit_code == 0
    assert 0 < (counted.stats.fuel_used or 0) < 1000
    again = bench.run(Guest().write("x"), fuel=1_000_000)
    assert again.stats.fuel_used == counted.stats.fuel_used  # the same everywhere, every time
    spent = bench.run(Guest().do("(loop $forever (br $forever))"), fuel=1_000_000)
    assert spent.outcome.kind is OutcomeKind.OUT_OF_FUEL
    assert spent.stats.fuel_used == 1_000_000
