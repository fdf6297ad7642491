"""How a compiler is held, whatever it is, and what is left of it after a cancel or a kill of its agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from wasmgrid.build import bubblewrap, find_sandbox, launch, processes
from wasmgrid.build.box import Box, Ended
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.sandbox import Kind, Sandbox
from wasmgrid.build.workdir import work_directory
from wasmgrid.core.errors import SandboxUnavailable

ROOT = os.geteuid() == 0
DEADLINE_S = 60.0
LIMITS = BuildLimits(cpu_s=30.0, wall_s=60.0)


def living(mark: str) -> bool:
    """Whether any process has `mark` in its arguments."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (process / "cmdline").read_bytes():
                return True
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Or fail after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(params=list(Kind))
def held(request: pytest.FixtureRequest, sandbox: Sandbox) -> Sandbox:
    """Each kind of sandbox that this machine has."""
    kind: Kind = request.param
    made = sandbox if kind is sandbox.kind else Sandbox(kind=kind, root=ROOT and kind is not Kind.NONE)
    if kind is Kind.BUBBLEWRAP and sandbox.kind is not kind:
        pytest.skip("bubblewrap does not work on this machine")
    if kind is Kind.LANDLOCK and asyncio.run(find_sandbox._problem(made)) is not None:
        pytest.skip("Landlock does not work on this machine")
    return made


@contextlib.asynccontextmanager
async def box_in(directory: Path, held: Sandbox, limits: BuildLimits = LIMITS) -> AsyncIterator[Box]:
    """A box for one test."""
    async with work_directory(directory, {}) as work:
        box = Box(work=work, tools={}, limits=limits)
        held.prepare(box)
        yield box


def shell(directory: Path, held: Sandbox, script: str, **caps: float) -> Ended:
    """What became of a shell script in the sandbox."""
    limits = msgspec.structs.replace(LIMITS, **caps)

    async def go() -> Ended:
        async with box_in(directory, held, limits) as box:
            argv = ["/bin/sh", "-c", script]
            return await held.run(box, argv, {}, cpu_s=limits.cpu_s, wall_s=limits.wall_s)

    return asyncio.run(go())


def test_exit_codes_and_words_come_back(tmp_path: Path, held: Sandbox) -> None:
    ended = shell(tmp_path, held, "echo out; echo err >&2; exit 7")
    assert (ended.exit_code, ended.limit, ended.said) == (7, None, b"out\nerr\n")
    assert shell(tmp_path, held, "kill -9 $$").exit_code == 137


def test_the_environment_is_empty_but_for_what_is_said(
    tmp_path: Path, held: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WASMGRID_TOKEN", "the-secret")
    said = shell(tmp_path, held, "env").said.decode()
    assert "the-secret" not in said
    assert {line.split("=")[0] for line in said.split()} <= {"PATH", "LC_ALL", "HOME", "TMPDIR", "PWD", "_", "SHLVL"}


@pytest.mark.parametrize("held", [Kind.BUBBLEWRAP, Kind.LANDLOCK], indirect=True)
def test_only_the_work_directory_can_be_written(tmp_path: Path, held: Sandbox) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o777)
    target.chmod(0o777)
    script = (
        f"touch ../out/mine && for d in / /usr /etc /var/tmp /dev/shm {target}; do touch $d/theirs && exit 1; done; :"
    )
    assert shell(tmp_path, held, script).exit_code == 0
    assert list(target.iterdir()) == []


def test_standard_input_is_empty_and_no_descriptor_is_inherited(tmp_path: Path, held: Sandbox) -> None:
    ended = shell(tmp_path, held, 'cat; for n in 3 4 5 6 7 8 9; do (eval "true <&$n") 2>/dev/null && echo $n; done; :')
    assert ended.said == b""


@pytest.mark.parametrize(
    ("script", "caps", "limit"),
    [
        ("while :; do :; done", {"cpu_s": 1.0}, "cpu time"),
        ("while :; do :; done & while :; do :; done & wait", {"cpu_s": 1.5}, "cpu time"),
        ("sleep 100", {"wall_s": 1.0}, "wall time"),
        ("x=a; while :; do x=$x$x; done", {"memory_mb": 100}, "memory"),
        ("while :; do echo x > ../out/$((n=n+1)); done", {"files": 100}, "disk"),
    ],
)
def test_caps_hold_over_the_whole_tree(
    tmp_path: Path, held: Sandbox, script: str, caps: dict[str, float], limit: str
) -> None:
    assert shell(tmp_path, held, script, **caps).limit == limit


def test_nothing_outlives_the_run(tmp_path: Path, held: Sandbox) -> None:
    mark = f"86399.{os.getpid()}{time.monotonic_ns()}"
    ended = shell(tmp_path, held, f"(setsid sleep {mark} >/dev/null 2>&1 &) ; sleep 0.2; echo done")
    assert ended.said == b"done\n"
    assert not living(mark)


def test_a_cancel_ends_all_of_it(tmp_path: Path, held: Sandbox) -> None:
    mark = f"86399.{os.getpid()}{time.monotonic_ns()}"

    async def go() -> None:
        async with box_in(tmp_path, held) as box:
            script = f"setsid sleep {mark} & sleep {mark}"
            running = asyncio.create_task(held.run(box, ["/bin/sh", "-c", script], {}, cpu_s=30, wall_s=60))
            await asyncio.to_thread(wait_until, lambda: living(mark))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert not living(mark)

    asyncio.run(go())
    assert list(tmp_path.iterdir()) == []


AGENT = """
import asyncio, sys
from pathlib import Path
from wasmgrid.build.box import Box
from wasmgrid.build.sandbox import Kind, Sandbox
held = Sandbox(kind=Kind(sys.argv[1]), bwrap=sys.argv[2], root=sys.argv[3] == "True")
box = Box(work=Path(sys.argv[4]), tools={})
held.prepare(box)
script = f"(setsid sleep {sys.argv[5]} &) ; sleep {sys.argv[5]}"
asyncio.run(held.run(box, ["/bin/sh", "-c", script], {}, cpu_s=30, wall_s=60))
"""


def test_a_kill_of_the_agent_leaves_no_process(tmp_path: Path, held: Sandbox) -> None:
    mark = f"86399.{os.getpid()}{time.monotonic_ns()}"
    for name in ("src", "out", "tmp"):
        (tmp_path / name).mkdir()
    argv = [sys.executable, "-c", AGENT, held.kind, held.bwrap, str(held.root), str(tmp_path), mark]
    agent = subprocess.Popen(argv)
    try:
        wait_until(lambda: len(processes.tree(agent.pid)) > 3)
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        wait_until(lambda: not living(mark))
    finally:
        agent.kill()
        agent.wait()


def test_as_root_compilers_run_as_nobody(tmp_path: Path, sandbox: Sandbox) -> None:
    if not ROOT:
        pytest.skip("not root")
    assert shell(tmp_path, sandbox, "id -u; id -G").said.split() == [str(launch.NOBODY).encode()] * 2


def test_there_is_no_way_to_more_privileges(tmp_path: Path, sandbox: Sandbox) -> None:
    if sandbox.kind is not Kind.BUBBLEWRAP:
        pytest.skip("bubblewrap does not work on this machine")
    said = shell(
        tmp_path, sandbox, "cat /proc/self/status; unshare -Ur true || echo none; ls /proc | grep -c '^[0-9]'"
    ).said
    assert b"CapEff:\t0000000000000000" in said
    assert b"NoNewPrivs:\t1" in said
    assert b"none" in said
    assert int(said.split()[-1]) < 10  # its own processes only


def test_where_nothing_works_source_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_sandbox: Sandbox) -> str:
        return "not permitted"

    monkeypatch.setattr(find_sandbox, "_problem", broken)
    with pytest.raises(SandboxUnavailable) as refused:
        asyncio.run(find_sandbox.find_sandbox())
    assert "not permitted" in refused.value.message
    assert "--unsandboxed-builds" in (refused.value.hint or "")
    assert asyncio.run(find_sandbox.find_sandbox(unsandboxed=True)).kind is Kind.NONE


def test_a_broken_bubblewrap_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "candidates", lambda: (str(fake),))
    try:
        found = asyncio.run(find_sandbox.find_sandbox())
    except SandboxUnavailable as refused:
        assert str(fake) in refused.message  # noqa: PT017 - a machine without Landlock
    else:
        assert found.kind is Kind.LANDLOCK
