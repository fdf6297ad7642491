"""A child on a leash: whatever ends its parent, a kill -9 included, ends it too.

Run as a file, before the child, which it becomes: `python -I -S leash.py PARENT_PID COMMAND...`. Standard library only,
and nothing of wasmgrid, because it is started without the site directory to cost 15 ms.

On Linux the kernel does it (PR_SET_PDEATHSIG survives exec). The signal follows the *thread* that forked, so start
leashed children from a thread that lives as long as the process: the main one, where the event loop is. Elsewhere this
module stays between the two and kills the child when its standard input, a pipe from the parent, closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_ORPHANED = 113


def command(argv: Sequence[str]) -> list[str]:
    """`argv` on a leash of this process. Start it with stdin from a pipe that nobody writes to."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *argv]  # noqa: PTH100


def die_with_parent(parent_pid: int) -> None:
    """Tie this process's life to its parent's; ends it now where `parent_pid` is its parent no more (Linux)."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it died before the kernel knew
        os._exit(_ORPHANED)


def _become(argv: list[str], parent_pid: int) -> int:
    die_with_parent(parent_pid)
    os.execvp(argv[0], argv)  # noqa: S606 -- no shell is the point


def _guard(argv: list[str]) -> int:
    """Run `argv` until it ends or the pipe from the parent closes; orderly stops are passed on."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as child:

        def watch() -> None:
            while os.read(0, 4096):
                pass
            child.kill()

        for wanted in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wanted, lambda number, _frame: child.send_signal(number))
        threading.Thread(target=watch, daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            return child.wait()
    return 1


def main(argv: list[str]) -> int:
    """`argv`: the parent's pid, then the command."""
    parent_pid, program = int(argv[0]), argv[1:]
    return _become(program, parent_pid) if sys.platform == "linux" else _guard(program)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
