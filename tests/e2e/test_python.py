"""`import wasmgrid` at a real grid: programs, functions, futures, maps and an executor, sync and async."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import arrayguests, programs
from tests.e2e.grid import Grid

import wasmgrid

# Two plain functions, without a toolchain: numeric exports of a module.
MATHS = """(module
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1))))
"""
HELLO = programs.prints("hello\n") + "\n"


@pytest.fixture
def client(grid: Grid) -> Iterator[wasmgrid.Client]:
    with grid.client() as made:
        yield made


@contextlib.contextmanager
def interrupted(once: Callable[[], Any]) -> Iterator[None]:
    """A block into which Ctrl-C comes as soon as `once()`."""

    def send() -> None:
        ends_at = time.monotonic() + 60
        while time.monotonic() < ends_at and not once():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 -- the block of whoever uses this
        threading.Thread(target=send, daemon=True).start()
        yield


def test_source_text_a_path_and_a_module(grid: Grid, client: wasmgrid.Client) -> None:
    result = client.run(HELLO, name="text", memory_mb=16)
    assert (result.ok, result.exit_code, result.outcome, result.stdout) == (True, 0, "exited", "hello\n")
    assert result.stats.wall_ms > 0
    assert result.job.name == "text"
    again = client.run(result.module(), memory_mb=16)
    assert again.module_sha256 == result.module_sha256
    assert client.run(grid.file("path.wat", HELLO), memory_mb=16).stdout == "hello\n"
    assert client.run(str(result.module_sha256), memory_mb=16).stdout == "hello\n"
    failed = client.run(programs.exits(3) + "\n")
    assert (failed.ok, failed.exit_code) == (False, 3)
    with pytest.raises(wasmgrid.TaskFailed, match=r"exited\(3\)"):
        client.run(programs.exits(3) + "\n", check=True)
    with pytest.raises(wasmgrid.BuildFailed, match="unknown operator"):
        client.run("(module\n (func (i32.bogus)))\n", language="wat")
    with pytest.raises(wasmgrid.InvalidPath, match=r"there is no 'nowhere\.rs'"):
        client.run("nowhere.rs")


def test_jobs_are_futures(client: wasmgrid.Client) -> None:
    module = client.run(HELLO, memory_mb=16).module_sha256
    assert module is not None
    jobs = [client.submit(module, memory_mb=16, name=f"future {n}") for n in range(12)]
    done, rest = wait(jobs, timeout=60)
    assert (len(done), rest) == (12, set())
    assert {job.result().stdout for job in as_completed(jobs)} == {"hello\n"}
    endless = client.submit(programs.TICKS + "\n", memory_mb=16)
    lines = endless.logs()
    assert [next(lines) for _ in range(3)] == ["tick"] * 3
    ends_at = time.monotonic() + 60
    while not endless.running():  # the leader hears of it with its worker's next heartbeat
        assert time.monotonic() < ends_at
        time.sleep(0.02)
    with pytest.raises(TimeoutError):
        endless.result(timeout=0.05)
    with interrupted(lambda: endless._condition._waiters):  # type: ignore[attr-defined] # the library's own
        endless.result()
    assert endless.status().state == "running"  # Ctrl-C leaves what has a name
    assert endless.cancel()
    with pytest.raises(CancelledError):
        endless.result(timeout=60)
    assert set(lines) == {"tick"}  # and the live output ends with it
    assert client.job(endless.id).cancelled()


def test_who_interrupts_a_run_ends_its_job(client: wasmgrid.Client) -> None:
    def runs() -> bool:
        with contextlib.suppress(wasmgrid.WasmgridError):
            return client.status("last").name == "endless" and client.status("last").state == "running"
        return False

    with interrupted(runs):
        client.run(programs.TICKS + "\n", name="endless", memory_mb=16)
    assert client.wait("last", timeout_s=60).state == "cancelled"


def test_a_function_and_maps(client: wasmgrid.Client) -> None:
    add = client.function(MATHS, "add", memory_mb=16)
    assert add(2, 3) == 5
    assert add.submit(20, 22).result(timeout=60) == 42
    assert list(add.map(range(500), range(500))) == [2 * n for n in range(500)]
    assert sorted(client.map(MATHS, ([n, 1] for n in range(50)), function="add", ordered=False)) == list(range(1, 51))
    divide = client.function(MATHS, "divide")
    with pytest.raises(wasmgrid.TaskFailed, match=r"integer_division_by_zero"):
        divide(1, 0)
    found = list(divide.map([6, 1, 8], [3, 0, 2], return_exceptions=True))
    assert [found[0], found[2], type(found[1])] == [2, 4, wasmgrid.TaskFailed]
    with pytest.raises(wasmgrid.TaskFailed, match="2 are taken"):
        add(1)
    texts = [f"line {n}" for n in range(40)]
    assert [each.stdout for each in client.map(arrayguests.CAT + "\n", texts, memory_mb=16)] == [
        f"{t}\n" for t in texts
    ]
    whole = client.run(arrayguests.CAT + "\n", array=3, memory_mb=16)
    assert (whole.ok, whole.counts.succeeded, [each.index for each in whole.tasks()]) == (True, 3, [0, 1, 2])


def test_a_map_that_is_left_is_cancelled(client: wasmgrid.Client) -> None:
    for each in client.map(programs.TICKS + "\n", range(3), memory_mb=16, output_limit=100):
        assert each.outcome == "output_limit"
        break
    assert client.wait("last", timeout_s=60).done


def test_an_executor(client: wasmgrid.Client) -> None:
    with wasmgrid.Executor(client) as pool:
        add = pool.function(MATHS, "add", memory_mb=16)
        futures = [pool.submit(add, n, 1) for n in range(300)]
        assert [future.result(timeout=60) for future in futures] == list(range(1, 301))
        assert list(pool.map(add, range(5), range(5))) == [0, 2, 4, 6, 8]
        bad = pool.submit(client.function(MATHS, "divide"), 1, 0)
        with pytest.raises(wasmgrid.TaskFailed, match="integer_division_by_zero"):
            bad.result(timeout=60)
        with pytest.raises(TypeError, match="does not run on a grid"):
            pool.submit(print, 1)
        with pytest.raises(wasmgrid.InvalidField, match="cannot be sent as JSON"):
            pool.submit(add, object(), 1)
        few = [pool.submit(add, n, n) for n in range(3)]  # by digest, in one request
    assert [future.result() for future in few] == [0, 2, 4]
    with pytest.raises(RuntimeError):
        pool.submit(add, 1, 1)


def test_large_output_and_artifacts_are_whole(client: wasmgrid.Client, tmp_path: Path, c: None) -> None:
    source = """
        #include <stdio.h>
        int main(void) {
            for (int i = 0; i < 20000; i++) printf("%09d\\n", i);
            FILE *file = fopen("/out/report.txt", "w");
            fputs("made here", file);
            fclose(file);
            FILE *in = fopen("/in/given", "r");
            char text[10] = {0};
            fgets(text, 10, in);
            fputs(text, stderr);
            return 0;
        }
    """
    result = client.run(source, inputs={"/in/given": b"given"})
    assert (len(result.stdout), result.stderr) == (200_000, "given")
    assert result.read("report.txt") == b"made here"
    assert [path.read_text() for path in result.download(tmp_path)] == ["made here"]


def test_many_threads_may_use_one_client(client: wasmgrid.Client) -> None:
    add = client.function(MATHS, "add", memory_mb=16)
    found: list[int] = []

    def call(number: int) -> None:
        found.extend(add(number, each) - each for each in range(5))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [number for number in range(6) for _ in range(5)]


def test_the_async_client(grid: Grid) -> None:
    async def use() -> None:
        async with wasmgrid.AsyncClient(grid.url, grid.token) as client:
            assert (await client.run(HELLO, memory_mb=16)).stdout == "hello\n"
            add = client.function(MATHS, "add", memory_mb=16)
            assert await asyncio.gather(*(add(n, n) for n in range(8))) == [2 * n for n in range(8)]
            assert [value async for value in add.map(range(100), range(100))] == [2 * n for n in range(100)]
            jobs = await asyncio.gather(*(client.submit(HELLO, memory_mb=16) for _ in range(8)))
            assert {(await job).stdout for job in jobs} == {"hello\n"}
            endless = await client.submit(programs.TICKS + "\n", memory_mb=16)
            async for line in endless.logs():
                assert line == "tick"
                break
            assert await endless.cancel()
            with pytest.raises(asyncio.CancelledError):
                await endless
            running = asyncio.create_task(client.run(programs.TICKS + "\n", name="given up", memory_mb=16))
            async with asyncio.timeout(60):
                while (job := await client.status("last")).name != "given up" or job.state != "running":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert (await client.wait(job.id, timeout_s=60)).state == "cancelled"

    asyncio.run(use())


def test_whoever_waits_outlasts_the_grid(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    grid = Grid(home=tmp_path / "home", directory=tmp_path / "work")
    try:
        grid.up()
        with grid.client() as client:
            job = client.submit(programs.counts(100) + "\n", memory_mb=16)
            add = client.function(MATHS, "add", memory_mb=16)
            sums = add.map(range(20_000), range(20_000))
            assert next(sums) == 0
            for process in grid.processes():
                with contextlib.suppress(Exception):
                    process.kill()
            assert grid.gone()
            with pytest.raises(wasmgrid.Unreachable, match="wasmgrid doctor"):
                client.run(HELLO)
            grid.up("--port", grid.url.rpartition(":")[2])
            assert sum(1 for _ in sums) == 19_999
            assert job.result(timeout=120).stdout.encode() == programs.counted(100)
    finally:
        grid.end()
