"""The pool: who gets which runner, what a kill leaves, and that no process outlives its agent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.runner.bench import Bench, Guest, Ran

from wasmgrid.core.errors import Unavailable
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import RunnerChunk, RunnerReport

pytestmark = pytest.mark.timeout(120)

SPIN = "(loop $forever (br $forever))"
SLEEP = """
    (i64.store (i32.const 512) (i64.const 0)) (i32.store8 (i32.const 520) (i32.const 0))
    (i32.store (i32.const 528) (i32.const 1)) (i64.store (i32.const 536) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 512) (i32.const 600) (i32.const 1) (i32.const 700)))"""
CANCELLED = Outcome(kind=OutcomeKind.CANCELLED, message="by you")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, 20 s at most."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def start(bench: Bench, body: str, **rest: Any) -> tuple[RunnerChunk, asyncio.Task[RunnerReport]]:
    """An attempt that has said "go" and is at `body` now."""
    task = await bench.task(Guest().write("go").do(body), **rest)
    running = asyncio.create_task(bench.run_task(task))
    await bench.said_something(task)
    return task, running


def pid_of_next(bench: Bench, tenant: str, disk_mb: int = 1000) -> int:
    """Which process runs a guest of `tenant`."""

    async def look() -> int:
        task, running = await start(bench, SPIN, tenant=tenant, disk_mb=disk_mb)
        pid = bench.runners.pid_of(task.attempt)
        bench.runners.stop(task.attempt, CANCELLED)
        await running
        assert pid is not None
        return pid

    found: int = bench.wait(look())
    return found


def test_a_runner_is_reused_by_its_tenant_only(bench: Bench) -> None:
    first = pid_of_next(bench, "alice")
    assert pid_of_next(bench, "alice") == first
    assert pid_of_next(bench, "bob") != first
    assert pid_of_next(bench, "alice", disk_mb=5) != first


@pytest.mark.parametrize("body", [SPIN, SLEEP])
def test_kill_ends_an_attempt_with_the_given_outcome(bench: Bench, body: str) -> None:
    async def cancel() -> RunnerReport:
        task, running = await start(bench, body)
        bench.runners.stop(task.attempt, CANCELLED)
        bench.runners.stop(task.attempt, CANCELLED)
        return await running

    report = bench.wait(cancel())
    assert (report.outcome, report.crashed, report.stdout.data) == (CANCELLED, False, b"go")
    bench.runners.stop(report.attempt, CANCELLED)  # late: nothing
    bench.check_alive()


def test_stop_before_the_guest_runs(bench: Bench) -> None:
    async def cancel() -> Ran:
        task = await bench.task(Guest().do(SPIN), tenant="early", disk_mb=3)  # no runner of this kind is there yet
        running = asyncio.create_task(bench.run_chunk(task))
        await until(lambda: task.attempt in bench.runners.live)
        bench.runners.stop(task.attempt, CANCELLED)
        return await running

    assert bench.wait(cancel()) == Ran([], [], [(0, 1)])  # not begun, so given back
    assert bench.run(Guest().exit(4), tenant="early", disk_mb=3).outcome.exit_code == 4


def test_an_attempt_that_cannot_be_laid_out_is_the_workers_failure(bench: Bench) -> None:
    async def lose_the_module() -> None:
        task = await bench.task(Guest().write("to be lost"))
        task.module.path.unlink()
        with pytest.raises(Unavailable):
            await bench.run_task(task)

    bench.wait(lose_the_module())
    bench.check_alive()


def test_cancelling_the_call_kills_the_runner(bench: Bench) -> None:
    async def cancel() -> None:
        task, running = await start(bench, SPIN)
        pid = bench.runners.pid_of(task.attempt)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert task.attempt not in bench.runners.live
        await until(lambda: pid not in bench.runners.pids)

    bench.wait(cancel())
    bench.check_alive()


def test_a_spare_is_there_again_after_a_kill(bench: Bench) -> None:
    async def kill() -> None:
        task, running = await start(bench, SLEEP, wall_s=0.2)
        pid = bench.runners.pid_of(task.attempt)
        assert (await running).outcome.kind is OutcomeKind.TIMED_OUT
        await until(lambda: bench.runners.has_spare and pid not in bench.runners.pids)

    bench.wait(kill())


def test_several_tasks_at_once(bench: Bench) -> None:
    async def many() -> list[RunnerReport]:
        guests = [bench.arun(Guest().write(f"{n}").exit(n), tenant=f"t{n % 3}") for n in range(8)]
        return list(await asyncio.gather(*guests))

    reports = bench.wait(many())
    assert [(r.outcome.exit_code, r.stdout.data) for r in reports] == [(n, b"%d" % n) for n in range(8)]


def test_tail_follows_a_live_attempt(bench: Bench) -> None:
    async def follow() -> tuple[bytes, bytes]:
        guest = Guest().write("one ").write("err", to="(i32.const 2)").do(SLEEP)
        task = await bench.task(guest)
        running = asyncio.create_task(bench.run_task(task))
        await bench.said_something(task)
        chunk = await bench.runners.tail((task.attempt, 0), stdout_offset=2, stderr_offset=0)
        quiet = await bench.runners.tail((task.attempt, 0), stdout_offset=4, stderr_offset=3, wait_s=0.05)
        assert (quiet.stdout, quiet.stderr, quiet.ended, quiet.known) == (b"", b"", False, True)
        bench.runners.stop(task.attempt, CANCELLED)
        await running
        late = await bench.runners.tail((task.attempt, 0), stdout_offset=0, stderr_offset=0, wait_s=5)
        assert (late.known, late.ended) == (False, True)
        return chunk.stdout, chunk.stderr

    assert bench.wait(follow()) == (b"e ", b"err")


def test_idle_runners_are_reaped_down_to_the_spare(bench: Bench, tmp_path: Path) -> None:
    async def reap() -> None:
        runners = Runners(tmp_path / "runners", idle_s=0.1)
        await runners.start()
        try:
            tasks = [await bench.task(Guest(), tenant=f"t{n}") for n in range(3)]
            await asyncio.gather(*[runners.run_chunk(task, lambda *_: None) for task in tasks])
            await until(lambda: runners.has_spare and len(runners.pids) == 1)
            await until(lambda: len(list((tmp_path / "runners").glob("r*"))) == 1)
        finally:
            await runners.close()
        assert not list((tmp_path / "runners").glob("r*"))

    bench.wait(reap())


def test_cpus_below_one_are_held_where_a_cgroup_is_writable(bench: Bench) -> None:
    if not bench.runners.cpu_caps:
        pytest.skip("no cpu cgroup is writable on this machine")
    report = bench.run(Guest().do(SPIN), milli_cpus=100, wall_s=1.0, tenant="capped")
    assert report.stats.cpu_enforced
    assert report.stats.cpu_ms < 0.5 * report.stats.wall_ms
    report = bench.run(Guest(), tenant="capped")
    assert not report.stats.cpu_enforced


AGENT = """
    import asyncio, sys
    from pathlib import Path
    from tests.runner.bench import Bench, Guest
    bench = Bench(Path(sys.argv[1]))
    async def work():
        task = await bench.task(Guest().write("go").do("(loop $forever (br $forever))"), wall_s=600.0)
        running = asyncio.create_task(bench.run_task(task))
        await bench.said_something(task)
        while not bench.runners.has_spare:
            await asyncio.sleep(0.01)
        print(*bench.runners.pids, flush=True)
        await running
    bench.wait(work())
"""


def test_kill_9_of_the_agent_leaves_no_runner(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(AGENT), str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as agent:
        assert agent.stdout is not None
        pids = [int(pid) for pid in agent.stdout.readline().split()]
        agent.send_signal(signal.SIGKILL)
    try:
        assert len(pids) == 2
        deadline = time.monotonic() + 20
        while (left := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left
    finally:
        for pid in pids:
            if psutil.pid_exists(pid) and "wasmgrid.runner" in psutil.Process(pid).cmdline():
                os.kill(pid, signal.SIGKILL)


def test_memory_of_a_large_guest_is_given_back(bench: Bench) -> None:
    touch = "(drop (memory.grow (i32.const 3000))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 196608000))"
    assert bench.run(Guest().do(touch), memory_mb=300, tenant="large").outcome.exit_code == 0
    pid = pid_of_next(bench, "large")
    assert psutil.Process(pid).memory_info().rss < 100 << 20


def test_a_spare_stays_small(bench: Bench) -> None:
    rss = psutil.Process(bench.runners.pids[-1]).memory_info().rss
    assert rss < 60 << 20
