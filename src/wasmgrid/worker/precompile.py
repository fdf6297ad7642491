"""The agent's side of `runner.precompile`: one limited child per module, and what its end means."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.runner.frames import Setup, encode
from wasmgrid.runner.runtime import REFUSED_EXIT_CODE, printable
from wasmgrid.worker.box import Box, runner_user

_WAITS_PER_CPU_S = 5  # on a busy machine cpu seconds take longer than seconds
_USER_NUMBER = 4095  # one at a time, never a runner's


async def precompile(
    wasm: Path, out: Path, box_path: Path, *, metered: bool, memory_mb: int, cpu_s: int
) -> Outcome | None:
    """Compile `wasm` into the new file `out` in a child of its own; None, or the outcome of whatever needs the module.

    Cancelling this kills the child. Raises OSError where files or processes cannot be made, and where somebody else
    killed the child (the kernel that ran out of memory, say): that says nothing of the module.
    """
    user = runner_user(_USER_NUMBER)
    began = time.monotonic()
    box = Box(box_path, user=user)
    try:
        with wasm.open("rb") as source, out.open("xb") as target:
            settings = (int(metered), memory_mb, cpu_s)
            process, channel = _spawn(source.fileno(), target.fileno(), settings)
            with channel:
                channel.sendall(encode(Setup(str(box.path), 1, os.getpid(), user)))
                code, words = await _outcome_of(process, cpu_s * _WAITS_PER_CPU_S)
    finally:
        await asyncio.to_thread(box.remove)
    could_take_s = (time.monotonic() - began) * (os.cpu_count() or 1)
    if code == -signal.SIGKILL and could_take_s < cpu_s:
        raise ChildProcessError("the compiler of machine code was killed before it had taken what it may")
    return _judge(code, words, memory_mb, cpu_s)


def _spawn(source: int, target: int, settings: tuple[int, ...]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        numbers = (theirs.fileno(), source, target)
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "wasmgrid.runner.precompile", *map(str, (*numbers, *settings))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=numbers,
            start_new_session=True,
        )
    return process, ours


async def _outcome_of(process: subprocess.Popen[bytes], wait_s: float) -> tuple[int, str]:
    talking = asyncio.create_task(asyncio.to_thread(process.communicate))
    try:
        async with asyncio.timeout(wait_s):
            _, words = await asyncio.shield(talking)
    except TimeoutError:
        process.kill()
        _, words = await talking
    except asyncio.CancelledError:
        process.kill()
        await talking
        raise
    return process.returncode, words.decode("utf-8", "replace")


def _judge(code: int, words: str, memory_mb: int, cpu_s: int) -> Outcome | None:
    if code == 0:
        return None
    if code == REFUSED_EXIT_CODE:
        message = f"the module is not valid: {printable(words)}"
    elif "memory allocation" in words or "MemoryError" in words or "Cannot allocate" in words:
        message = f"compiling the module to machine code took more than {memory_mb} MB of memory"
    elif code in (-signal.SIGKILL, -signal.SIGXCPU):  # by us or at the hard limit; at the soft one
        message = f"compiling the module to machine code took more than {cpu_s} s of cpu time"
    else:
        message = f"the compiler died ({code}): {printable(words)[-500:]}"
    return Outcome(kind=OutcomeKind.REJECTED, message=message)
