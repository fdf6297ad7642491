"""One credential in several places: each worker is another one, whatever starts when."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.worker.rig import HELLO, Rig, ScriptedLeader, ended, in_rig, worker

from wasmgrid.core import wire

pytestmark = pytest.mark.timeout(180)


async def ids(leader: ScriptedLeader, count: int) -> list[str]:
    """The ids of the first workers that joined, once there are so many."""
    found: dict[str, str] = {}
    async with asyncio.timeout(60):
        while len(found) < count:
            found |= {one.worker.incarnation: one.worker.id for one in leader.heard if isinstance(one, wire.Inventory)}
            await asyncio.sleep(0.01)
    return sorted(found.values())


def test_machines_that_share_a_credential_are_different_workers(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        path = str(await made.admit("box"))
        leader = await made.lead("box")
        with ExitStack() as stack:
            stack.enter_context(worker(tmp_path / "first", "--credential", path))
            assert await ids(leader, 1) == ["box"]
            for home in ("second", "third"):  # at the same time
                stack.enter_context(worker(tmp_path / home, "--credential", path))
            assert await ids(leader, 3) == ["box", "box:2", "box:3"]
            stack.enter_context(worker(tmp_path / "first", "--credential", path))
            assert await ids(leader, 4) == ["box", "box:2", "box:3", "box:4"]
            await leader.assign(1, HELLO)
            assert (await leader.result(1)).worker_id == "box"
            named = stack.enter_context(worker(tmp_path / "other", "--credential", path, "--id", "box:2"))
            assert await ended(named) == 125
            assert "the worker box:2 runs already, at " in made.said()

    in_rig(tmp_path, test)


def test_the_older_of_two_that_met_too_late_stays(tmp_path: Path) -> None:
    async def test(made: Rig) -> None:
        path = str(await made.admit("box"))
        leader = await made.lead("box")
        with worker(tmp_path / "first", "--credential", path) as process:
            await leader.joined()
            client = leader.fabric
            older = wire.Claim(worker_id="box", incarnation="f" * 16, place="a cell", age_s=3600.0)
            await client.publish("_INBOX.box.claims.1", older)
            assert await ended(process) == 125
            assert "another worker has the same id" in made.said()

    in_rig(tmp_path, test)
