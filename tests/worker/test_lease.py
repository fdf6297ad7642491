"""A worker whose lease lapses, whose leader is over, or that died before."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import psutil
import pytest
from tests import processes
from tests.worker.cut import proxy
from tests.worker.rig import HELLO, SPIN, Rig, ended, in_rig, until, worker

from wasmgrid.core import wire
from wasmgrid.worker import starts

pytestmark = pytest.mark.timeout(180)


async def gone(pid: int) -> None:
    """Wait for the end of a process."""

    async def is_gone() -> bool:
        return not processes.runs(pid)

    await until(is_gone)


def guests() -> list[int]:
    """The runner processes of this test's workers."""
    below = psutil.Process().children(recursive=True)
    return [one.pid for one in below if "wasmgrid.runner" in " ".join(one.cmdline())]


@pytest.mark.parametrize("way", ["frozen", "its words", "words to it"])
def test_hostile_69_cut_off_for_a_lease_its_guests_end_and_no_result_follows(tmp_path: Path, way: str) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead(lease_s=2.0)
        async with proxy(made) as cut:
            with worker(made.home.path, "--join", cut.url):
                await leader.joined()
                await leader.assign(1, SPIN)
                await leader.running(1)
                [running] = [pid for pid in guests() if psutil.Process(pid).cpu_percent(0.2) > 1]
                if way == "frozen":
                    made.signal_nats(signal.SIGSTOP)
                else:
                    cut.close(way)
                await gone(running)
                leader.heard.clear()
                made.signal_nats(signal.SIGCONT)
                cut.open()
                await leader.until(wire.Heartbeat, lambda said: not said.held)
                leader.heard.clear()
                await leader.hello()
                assert (await leader.joined()).held == []
                await leader.assign(2, HELLO)
                assert (await leader.result(2)).outcome.succeeded
                tasks = [task for said in leader.heard if isinstance(said, wire.Results) for task in said.tasks]
                assert {task.attempt for task in tasks} == {2}

    in_rig(tmp_path, test)


def test_hostile_61_stopped_for_longer_than_its_lease_it_gives_up_what_it_held(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead(lease_s=2.0)
        with worker(made.home.path) as process:
            await leader.joined()
            await leader.assign(1, SPIN)
            await leader.running(1)
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(3.0)  # the time itself is what is tested
            leader.heard.clear()
            process.send_signal(signal.SIGCONT)
            await leader.until(wire.Heartbeat, lambda said: not said.held)
            assert not [one for one in leader.heard if isinstance(one, wire.Results)]

    in_rig(tmp_path, test)


def test_a_result_is_told_again_until_its_leader_took_it(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        leader.acknowledges = False
        with worker(made.home.path):
            await leader.joined()
            await leader.assign(1, HELLO)
            await leader.result(1)
            await leader.say(wire.ResultsAck(attempts=[1], term=0))  # the word of a leader that is over
            leader.heard.clear()
            await leader.result(1)
            await leader.say(wire.ResultsAck(attempts=[1], term=1))
            await leader.until(wire.Heartbeat, lambda said: not said.held)

    in_rig(tmp_path, test)


def test_a_killed_agent_tells_what_died_with_it(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        leader = await made.lead()
        with worker(made.home.path) as process:
            await leader.joined()
            await leader.assign(1, SPIN, gpus=[])
            await leader.running(1)
            process.kill()
            await ended(process)
        leader.heard.clear()
        with worker(made.home.path):
            [held] = (await leader.joined()).held
            assert (held.attempt, held.phase) == (1, "died")
        lives = [one for one in made.starts() if isinstance(one, starts.Life)]
        assert len({one.incarnation for one in lives}) == 2

    in_rig(tmp_path, test)
