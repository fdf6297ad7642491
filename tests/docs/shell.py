"""A shell and a Python interpreter that live as long as a page: what one block sets, the next one finds."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

# Commands come as files, one path a line, on descriptor 3; each ends with a line that only this test knows.
LOOP = 'while read -r file <&3; do eval "$(<"$file")" </dev/null; printf "%s %s\\n" "$MARK" "$?"; done'
INTERPRETER = """
import os, sys, traceback, ast, inspect, asyncio
space = {"__name__": "__main__"}
with os.fdopen(3) as files:
    for name in files:
        code = 0
        try:
            text = open(name.strip()).read()
            mode = "single" if text.startswith("# interactive\\n") else "exec"
            made = compile(text, "page", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            value = eval(made, space)
            if inspect.iscoroutine(value):
                asyncio.run(value)
        except BaseException:
            code = 1
            traceback.print_exc()
        sys.stdout.flush(); sys.stderr.flush()
        print(os.environ["MARK"], code, flush=True)
"""


class Shell:
    """One of them; stdout and stderr come in the order in which they were written."""

    def __init__(self, argv: list[str], directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._mark = secrets.token_hex(8)
        reader, self._writer = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", 'exec 3<&"$0"; exec "$@"', str(reader), *argv],
            cwd=directory,
            env={**environment, "MARK": self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[reader],
            start_new_session=True,
        )
        os.close(reader)
        self._came = b""

    def run(self, text: str, timeout_s: float) -> tuple[str, int]:
        """Run it to its end; returns what it printed and its exit code."""
        file = self._directory / f".block-{secrets.token_hex(4)}"
        file.write_text(text, encoding="utf-8")
        os.write(self._writer, f"{file}\n".encode())
        printed, code = self._until_mark(text, timeout_s)
        file.unlink()
        return printed, code

    def _until_mark(self, text: str, timeout_s: float) -> tuple[str, int]:
        assert self._process.stdout is not None
        ends_at = time.monotonic() + timeout_s
        mark = self._mark.encode() + b" "
        while mark not in self._came or not self._came.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, ends_at - time.monotonic()))
            assert ready, f"still running after {timeout_s} s: {text}\n{self._came.decode()}"
            chunk = os.read(self._process.stdout.fileno(), 65536)
            assert chunk, f"the shell ended: {text}\n{self._came.decode()}"
            self._came += chunk
        printed, _, rest = self._came.partition(mark)
        self._came = b""
        return printed.decode(errors="replace"), int(rest.split()[0])

    def close(self) -> None:
        """End it and whatever it started and that is still of its session."""
        os.close(self._writer)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self._process.pid and process.pid != self._process.pid:
                    process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def bash(directory: Path, environment: dict[str, str]) -> Shell:
    """A shell in `directory`."""
    return Shell(["bash", "--norc", "-c", LOOP], directory, environment)


def python(directory: Path, environment: dict[str, str]) -> Shell:
    """An interpreter in `directory`."""
    return Shell([sys.executable, "-u", "-c", INTERPRETER], directory, environment)
