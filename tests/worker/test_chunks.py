"""Chunks at a real worker: many tasks of one attempt, each with its own line and its own end."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
from tests.worker.rig import Rig, ScriptedLeader, ended, in_rig, worker

from wasmgrid.core import wire
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import Lines
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.worker import starts

pytestmark = pytest.mark.timeout(180)

# Says what it was told; spins where that begins with s, traps where it begins with t.
ECHO = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $first i32)
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1000))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $first (i32.load8_u (i32.const 64)))
    (if (i32.eq (local.get $first) (i32.const 115)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $first) (i32.const 116)) (then unreachable))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""


async def chunk(
    leader: ScriptedLeader, attempt: int, words: list[str], *, first: int = 0, use: str = "stdin", slice_s: float = 0.05
) -> None:
    """Assign the tasks from `first` on, of a job with a line for each and some before."""
    text = "\n".join(["before"] * first + words).encode()
    leader.blobs.kept[sha256_hex(text)] = text
    lines = Lines(sha256=sha256_hex(text), use=use, count=first + len(words))
    await leader.assign(attempt, ECHO, first=first, count=len(words), array=True, lines=lines, slice_s=slice_s)


async def rest(leader: ScriptedLeader, attempt: int) -> list[int]:
    """What a worker gives back of an attempt."""
    said = await leader.until(wire.Returned, lambda said: said.attempt == attempt)
    return [index for first, count in said.rest for index in range(first, first + count)]


async def spinning(leader: ScriptedLeader, attempt: int, index: int) -> list[psutil.Process]:
    """Wait until this task is said to run; all of its worker's runners, idle ones too."""
    await leader.until(
        wire.Heartbeat, lambda said: any((one.attempt, one.running) == (attempt, index) for one in said.held)
    )
    below = psutil.Process().children(recursive=True)
    return [one for one in below if "wasmgrid.runner" in " ".join(one.cmdline())]


def test_every_task_of_a_chunk_has_its_line_and_its_result(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            words = [f"w{index}" if index % 10 else "trap" for index in range(200)]
            await chunk(leader, 1, words, first=5)
            found = await leader.ends(1, range(5, 205))
            for index, word in enumerate(words, 5):
                outcome, stdout = found[index].outcome, found[index].stdout.data
                assert (outcome.kind is OutcomeKind.TRAPPED) == (word == "trap")
                assert stdout == (b"" if word == "trap" else f"{word}\n".encode())
            assert len(leader.told(1)) == 200
            await leader.until(wire.Heartbeat, lambda said: not said.held and said.assigned_seq == 1)
            cold = [task for task in found.values() if not task.stats.precompile_cached]
            assert [task.index for task in cold] == [5]
        began, *others = (one for one in made.starts() if not isinstance(one, starts.Life))
        assert isinstance(began, starts.Began)
        assert (began.index, began.count) == (5, 200)
        ran = [run for one in others if isinstance(one, starts.Ran) for run in one.tasks]
        assert sum(count for _, count in ran) == 200
        assert isinstance(others[-1], starts.Ended)

    in_rig(tmp_path, test)


def test_a_line_that_is_no_list_of_words_refuses_its_task_alone(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            await chunk(leader, 1, ["'a b' c", "it's", "d"], use="args")
            await chunk(leader, 2, ['["a", 2]', "[", '{"a": 1}', "[]"], use="json_args")
            found = await leader.ends(1, range(3))
            assert [found[index].outcome.kind for index in range(3)] == ["exited", "rejected", "exited"]
            assert "quot" in str(found[1].outcome.message)
            found = await leader.ends(2, range(4))
            assert [found[index].outcome.kind for index in range(4)] == ["exited", "rejected", "rejected", "exited"]

    in_rig(tmp_path, test)


def test_nobody_waits_behind_a_task_that_takes_long(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            await chunk(leader, 1, ["a", "b", "spin", "c", "d"])
            assert await rest(leader, 1) == [3, 4]
            assert (await leader.ends(1, [0, 1])).keys() == {0, 1}
            await spinning(leader, 1, 2)
            await chunk(leader, 2, ["c", "d"], first=3)  # its place is only taken once
            assert (await leader.ends(2, [3, 4]))[4].outcome.succeeded
            await leader.cancel(1)
            assert (await leader.ends(1, [2]))[2].outcome.kind is OutcomeKind.CANCELLED
            assert [task.index for task in leader.told(1)] == [0, 1, 2]

    in_rig(tmp_path, test)


def test_cancelled_the_running_task_says_so_and_the_rest_goes_back(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            await chunk(leader, 1, ["a", "spin", "b", "c"], slice_s=3600.0)
            await spinning(leader, 1, 1)
            await leader.cancel(1)
            assert await rest(leader, 1) == [2, 3]
            found = await leader.ends(1, [0, 1])
            assert [found[index].outcome.kind for index in range(2)] == ["exited", "cancelled"]
            await leader.until(wire.Heartbeat, lambda said: not said.held and said.assigned_seq == 1)
        [over] = [one for one in made.starts() if isinstance(one, starts.Ended)]
        assert over.rest == [(2, 2)]

    in_rig(tmp_path, test)


def test_hostile_60_a_runner_that_dies_costs_the_task_that_it_ran(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            await chunk(leader, 1, ["a", "spin", "b", "c"], slice_s=3600.0)
            for runner in await spinning(leader, 1, 1):
                runner.kill()
            found = await leader.ends(1, range(4))
            assert [found[index].outcome.kind for index in range(4)] == ["exited", "lost", "exited", "exited"]
            assert "killed by SIGKILL" in str(found[1].outcome.message)

    in_rig(tmp_path, test)


def test_a_killed_agent_tells_which_task_of_a_chunk_ran(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path) as process:
            await leader.joined()
            await chunk(leader, 1, ["a", "spin", "b", "c"], slice_s=3600.0)
            await spinning(leader, 1, 1)
            process.send_signal(signal.SIGKILL)
            await ended(process)
        leader.heard.clear()
        with worker(made.home.path):
            [held] = (await leader.joined()).held
            assert (held.attempt, held.index, held.count, held.phase, held.running) == (1, 0, 4, "died", 1)

    in_rig(tmp_path, test)


def test_what_can_never_run_refuses_every_task_of_a_chunk(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            lines = Lines(sha256=sha256_hex(b"nowhere"), count=3)
            await leader.assign(1, ECHO, count=3, array=True, lines=lines)
            found = await leader.ends(1, range(3))
            assert {task.outcome.kind for task in found.values()} == {OutcomeKind.REJECTED}
            assert "gone from the store" in str(found[2].outcome.message)
            await leader.assign(2, ECHO, count=3, array=True, module_sha256=sha256_hex(b"nowhere"))
            found = await leader.ends(2, range(3))
            assert [found[index].module_missing for index in range(3)] == [True] * 3

    in_rig(tmp_path, test)
