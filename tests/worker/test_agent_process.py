"""A worker process and the words of its leader: GPUs, cache, cancel, drain, its own time."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.e2e.guests import sleeper
from tests.worker.history import never_shared
from tests.worker.rig import HELLO, SPIN, Rig, ended, in_rig, worker

from wasmgrid.core import wire
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.worker import starts

pytestmark = pytest.mark.timeout(180)

ENVIRONMENT = """(module
 (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (func (export "_start")
  (drop (call $sizes (i32.const 0) (i32.const 4)))
  (drop (call $get (i32.const 1024) (i32.const 4096)))
  (i32.store (i32.const 8) (i32.const 4096)) (i32.store (i32.const 12) (i32.load (i32.const 4)))
  (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"""


def test_gpus_are_told_apart_and_pass_on_when_their_last_owner_is_gone(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path, "--gpu", "NVIDIA H100 80GB HBM3:81559", "--gpu", "NVIDIA H100 80GB HBM3:81559"):
            said = await leader.joined()
            assert [(gpu.index, gpu.simulated) for gpu in said.worker.gpus] == [(0, True), (1, True)]
            assert said.worker.capacity.gpus == 2
            assert said.worker.labels["gpu"] == "NVIDIA-H100-80GB-HBM3"
            assert said.worker.labels["gpu_memory_mb"] == "81559"
            forged = {"WASMGRID_GPUS": "0", "WASMGRID_GPU_MODEL": "mine", "A": "b"}
            await leader.assign(1, ENVIRONMENT, gpus=[1], env=forged)
            await leader.assign(2, ENVIRONMENT, env=forged)
            with_gpu, without = await leader.result(1), await leader.result(2)
            told = b"A=b\0WASMGRID_GPUS=1\0WASMGRID_GPU_MODEL=NVIDIA H100 80GB HBM3\0"
            assert (with_gpu.stdout.data, without.stdout.data) == (told, b"A=b\0")
            beat = await leader.until(wire.Heartbeat, lambda said: said.cache.modules == 1)
            assert beat.cache.bytes > 1000
            leader.heard.clear()
            await leader.hello()
            assert len((await leader.joined()).modules) == 1
            for attempt in range(3, 8):
                await leader.assign(attempt, SPIN, gpus=[0])
                await leader.running(attempt)
                await leader.cancel(attempt, "superseded")  # the leader counts the GPU as free from here on
            await leader.assign(8, HELLO, gpus=[0])
            assert (await leader.result(8)).outcome.succeeded
        assert never_shared(made.starts())
        begun = [one for one in made.starts() if isinstance(one, starts.Began)]
        assert [(one.attempt, one.kind, one.id, one.index, one.gpus) for one in begun] == [
            (1, "run", 1, 0, [1]),
            (2, "run", 2, 0, []),
            *((attempt, "run", attempt, 0, [0]) for attempt in range(3, 9)),
        ]

    in_rig(tmp_path, test)


def test_hostile_72_cancel_ends_any_guest_once_also_right_behind_its_assignment(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path, "--slots", "50", "--cpus", "50"):
            await leader.joined()
            for attempt, program in enumerate((SPIN, sleeper(600.0)), 1):
                await leader.assign(attempt, program)
                await leader.running(attempt)
                if program != SPIN:
                    assert await leader.stdout(attempt) == b"slept\n"
                began = time.monotonic()
                await leader.cancel(attempt)
                assert (await leader.result(attempt)).outcome.kind is OutcomeKind.CANCELLED
                assert time.monotonic() - began < 10.0  # benchmarks/cancel.py has the figure
            assert (await leader.result(2)).stdout.data == b"slept\n"
            for attempt in range(3, 21):
                await leader.assign(attempt, SPIN)
                await leader.cancel(attempt)
            for attempt in range(3, 21):
                assert (await leader.result(attempt)).outcome.kind is OutcomeKind.CANCELLED
            await leader.until(wire.Heartbeat, lambda said: not said.held and said.assigned_seq == 20)
            told = [task.attempt for said in leader.heard if isinstance(said, wire.Results) for task in said.tasks]
            assert sorted(set(told)) == list(range(1, 21))

    in_rig(tmp_path, test)


def test_drained_by_its_leader_it_finishes_takes_no_more_and_ends(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path, "--drain-timeout", "0s") as process:
            await leader.joined()
            await leader.assign(1, sleeper(1.5))
            await leader.running(1)
            await leader.say(wire.DrainWorker(term=1))
            await leader.until(wire.Inventory, lambda said: said.draining)
            await leader.assign(2, HELLO)
            assert (await leader.until(wire.Refused)).attempt == 2
            assert (await leader.result(1)).outcome.succeeded
            await leader.until(wire.Leave)
            assert await ended(process) == 0

    in_rig(tmp_path, test)


def test_a_signal_gives_what_runs_some_time_and_a_second_one_none(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path, "--drain-timeout", "10m") as process:
            await leader.joined()
            await leader.assign(1, sleeper(0.5))
            await leader.assign(2, SPIN)
            await leader.running(2)
            process.send_signal(signal.SIGTERM)
            await leader.until(wire.Inventory, lambda said: said.draining)
            assert (await leader.result(1)).outcome.succeeded
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert (await leader.until(wire.Refused)).attempt == 2
            assert await ended(process) == 0
        with worker(made.home.path):
            leader.heard.clear()
            assert (await leader.joined()).held == []  # an orderly end: nothing died with it

    in_rig(tmp_path, test)


def test_a_signal_ends_a_worker_that_still_waits_for_its_grid(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        with worker(made.home.path) as process:
            await made.until_said("no grid in")
            process.send_signal(signal.SIGTERM)
            assert await ended(process) == 0
        assert made.said().count("no grid in") == 1

    in_rig(tmp_path, test, start=False)


def test_the_worker_first_then_the_fabric_then_the_leader(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        with worker(made.home.path):
            await made.until_said("no grid in")
            await made.start()
            await made.until_said("waiting for a server that leads")
            leader = await made.lead()
            await leader.joined()

    in_rig(tmp_path, test, start=False)


def test_a_worker_with_a_time_of_its_own_says_how_much_is_left_and_ends(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path, "--until", "10s", "--drain-timeout", "2s") as process:
            said = await leader.joined()
            assert said.remaining_s is not None
            assert 0 < said.remaining_s <= 8.0
            await leader.assign(1, SPIN)
            await leader.until(wire.Inventory, lambda said: said.draining)
            assert (await leader.until(wire.Refused)).attempt == 1
            await leader.until(wire.Leave)
            assert await ended(process) == 0

    in_rig(tmp_path, test)
