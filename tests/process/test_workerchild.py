"""The worker that `up` brings along: kept running, stopped in order, killed where it does not stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmgrid import leash
from wasmgrid.home import Home
from wasmgrid.server import workerchild
from wasmgrid.server.workerchild import WorkerChild
from wasmgrid.worker.departure import EXIT_MISMATCH

DEADLINE_S = 60.0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 -- a process has no event for it
            await asyncio.sleep(0.01)


def _child(path: Path, code: str) -> WorkerChild:
    child = WorkerChild(Home(path).create(), ())
    child._argv = leash.command([sys.executable, "-c", code, str(path)])
    return child


COUNTING = """
import os, pathlib, sys, time
lives = pathlib.Path(sys.argv[1]) / "lives"
lives.mkdir(exist_ok=True)
(lives / str(os.getpid())).write_text(os.environ["WASMGRID_HOME"])
time.sleep(600)
"""


def test_it_is_started_again_when_it_ends(tmp_path: Path) -> None:
    async def test() -> None:
        child = _child(tmp_path, COUNTING)
        lives = tmp_path / "lives"
        await child.start()
        await _until(lambda: lives.exists() and len(list(lives.iterdir())) == 1)
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await _until(lambda: len(list(lives.iterdir())) == 2)
        assert {path.read_text() for path in lives.iterdir()} == {str(tmp_path)}
        await child.stop()
        assert child.pid is None
        await child.stop()

    asyncio.run(test())


@pytest.mark.parametrize("status", [0, EXIT_MISMATCH])
def test_one_that_was_meant_to_end_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(workerchild, "_FIRST_RESTART_S", 0.0)

    async def test() -> None:
        child = _child(tmp_path, COUNTING.replace("time.sleep(600)", f"sys.exit({status})"))
        await child.start()
        assert child._keeper is not None
        async with asyncio.timeout(DEADLINE_S):
            await child._keeper
        assert len(list((tmp_path / "lives").iterdir())) == 1
        await child.stop()

    asyncio.run(test())


def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workerchild, "_STOP_S", 0.05)
    deaf = COUNTING.replace("import os,", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nimport os,")

    async def test() -> None:
        child = _child(tmp_path, deaf)
        await child.start()
        await _until(lambda: (tmp_path / "lives").exists() and any((tmp_path / "lives").iterdir()))
        pid = child.pid
        assert pid is not None
        await child.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(test())
