"""What a process that a guest took over could still do: as good as nothing. Run inside a really confined one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.runner.bench import Bench

from wasmgrid.worker.box import Box, runner_user

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's"),
]

PROBE = """
    import ctypes, errno, json, os, sys, threading
    import msgspec
    from wasmgrid.runner.confine import confine
    from wasmgrid.runner.frames import Setup
    box, disk_mb, user = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    libc = ctypes.CDLL(None, use_errno=True)
    held = confine(Setup(box, disk_mb, os.getppid(), user))
    def attempt(action):
        try:
            action()
        except OSError as error:
            return errno.errorcode[error.errno]
        return "done"
    def call(name, *arguments):
        def run():
            if getattr(libc, name)(*arguments) < 0:
                raise OSError(ctypes.get_errno(), name)
        return attempt(run)
    threads, entries = [], []
    thread = threading.Thread(target=lambda: threads.append(1))
    thread.start(); thread.join()
    print(json.dumps({
        "held": msgspec.to_builtins(held),
        "root": sorted(entries) if attempt(lambda: entries.extend(os.listdir("."))) == "done" else None,
        "passwd": attempt(lambda: os.close(os.open("/etc/passwd", os.O_RDONLY))),
        "home": attempt(lambda: os.listdir(box)),
        "write": attempt(lambda: os.mkdir("new")),
        "module": attempt(lambda: os.close(os.open("modules/x", os.O_WRONLY | os.O_CREAT))),
        "input": attempt(lambda: os.close(os.open("in/x", os.O_WRONLY | os.O_CREAT))),
        "scratch": attempt(lambda: os.close(os.open("scratch/x", os.O_WRONLY | os.O_CREAT))),
        "socket": call("socket", 2, 1, 0),
        "fork": attempt(os.fork),
        "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
        "kill": attempt(lambda: os.kill(os.getppid(), 0)),
        "ptrace": call("ptrace", 16, os.getppid(), 0, 0),
        "mount": call("mount", b"x", b"/scratch", b"tmpfs", 0, None),
        "unshare": call("unshare", 0x10000000),
        "setuid": attempt(lambda: os.setuid(0)),
        "threads": len(threads),
        "uid": os.getuid(),
        "groups": os.getgroups(),
    }))
"""


def confined(tmp_path: Path, **limits: Any) -> dict[str, Any]:
    """What a confined process found."""
    user = runner_user(0)
    box = Box(tmp_path / "box", user=user)
    try:
        command = [sys.executable, "-c", textwrap.dedent(PROBE), str(box.path), "4", json.dumps(user)]
        done = subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=50, **limits)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    finally:
        box.remove()


def test_nothing_of_the_machine_is_left(tmp_path: Path) -> None:
    found = confined(tmp_path)
    held = found["held"]
    assert found["threads"] == 1
    assert found["scratch"] == "done"
    assert found["uid"] == (runner_user(0) or os.geteuid())
    if held["seccomp"]:
        for denied in ("socket", "fork", "exec", "kill", "ptrace", "mount", "unshare", "setuid"):
            assert found[denied] == "EPERM", denied
    if held["root"] == "pivot_root":
        assert found["root"] == ["in", "io", "modules", "scratch"]
    if held["root"] != "none":
        assert {found["passwd"], found["home"]} <= {"ENOENT", "EACCES"}
    if held["root"] == "pivot_root":
        assert (found["write"], found["module"], found["input"]) == ("EROFS", "EROFS", "EROFS")
    whole = held["root"] == "pivot_root" and held["seccomp"] and held["namespaces"] and held["unprivileged"]
    assert bool(held["missing"]) is not bool(whole)


@pytest.mark.skipif(runner_user(0) is None, reason="only root can become somebody else, where there is somebody")
def test_root_becomes_a_user_that_nobody_is(tmp_path: Path) -> None:
    found = confined(tmp_path)
    assert found["uid"] == runner_user(0)
    assert found["groups"] == []


def test_a_runner_says_what_confines_it(bench: Bench) -> None:
    held = bench.confinement
    assert held.no_new_privs
    assert held.platform == "linux"
    assert held.seccomp or any("seccomp" in line for line in held.missing)
